//! What is wrong with the address of a tier, in the words of a configuration?

use super::problem::Wrong;
use bellwether_adapters::tiers::address::{AddressMistake, TierAddress};

fn expected() -> Wrong {
    Wrong::expected(
        "a URL: redis://HOST:PORT, rediss://…, redis+unix:///PATH, redis+cluster://A:1,B:2, \
         redis+sentinel://A:1,B:2/NAME or memcached://A:1,B:2",
    )
}

/// Hints quote nothing of it: a password may stand where its writer did not mean it to.
pub(super) fn tier_url(text: &str) -> Result<TierAddress, Wrong> {
    TierAddress::parse(text).map_err(|mistake| match mistake {
        // What may be written has been said.
        AddressMistake::UnknownScheme { meant: None, .. } => expected(),
        AddressMistake::Encoding => expected().hint(format!("{}; or write the password as `password`", mistake.hint())),
        AddressMistake::LoginBehind => {
            expected().hint("the password belongs to `password`, the user before the host: user@HOST")
        }
        AddressMistake::TooManyHosts => Wrong::expected(mistake.hint()),
        mistake => expected().hint(mistake.hint()),
    })
}
