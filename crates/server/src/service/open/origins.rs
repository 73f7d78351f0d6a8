//! Can an origin be opened? Nobody needs to be there.

#[cfg(feature = "postgres")]
use bellwether_adapters::PostgresOrigin;
use bellwether_adapters::{HttpOrigin, SetupError, SqliteOrigin};

use super::super::opened::Kind;
use super::wrong::setup_problem;
use crate::config::{OriginConfig, OriginKind, Problem};

pub(super) fn subject_of(config: &OriginConfig) -> String {
    format!("[origin.{}]", config.name)
}

pub(super) fn open(origin: &OriginConfig) -> Result<Kind, Box<Problem>> {
    let subject = subject_of(origin);
    let budget = &origin.budget;
    let most = budget.max_concurrency as usize;
    let failed = |error: SetupError| setup_problem(&origin.place, &subject, &error);
    Ok(match &origin.kind {
        OriginKind::Sqlite { path } => {
            let opened = SqliteOrigin::open_with(path, most, budget.timeout.into(), origin.on_connect.clone());
            Kind::Sqlite(opened.map_err(failed)?)
        }
        #[cfg(feature = "postgres")]
        OriginKind::Postgres(url) => {
            let opened = PostgresOrigin::open(url.clone(), most, budget.timeout.into());
            Kind::Postgres(opened.map_err(failed)?)
        }
        OriginKind::Http(base) => {
            let scheme = if base.tls { "https" } else { "http" };
            let origin = HttpOrigin::open(&format!("{scheme}://{}", base.authority()), most).map_err(failed)?;
            Kind::Http { origin: Box::new(origin), base_path: base.path.clone() }
        }
    })
}
