//! An axum service whose handler can't stampede its database.
//!
//! ```sh
//! cargo run -p bellwether --example axum_service
//! curl -i http://127.0.0.1:3000/users/42
//! ```
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bellwether::{Cache, Loaded, Policy, Priority, Space};

type Users = Space<u64, String>;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let cache = Cache::builder().memory("256 MiB").build()?;
    let users: Users = cache.space("user", Policy::ttl("60s").grace("6h").timeout("500ms"));

    let app = Router::new().route("/users/{id}", get(user)).with_state(users);
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 3000)).await?;
    println!("http://{}/users/42", listener.local_addr()?);
    axum::serve(listener, app).await?;
    Ok(())
}

async fn user(State(users): State<Users>, Path(id): Path<u64>) -> Response {
    let found = users.get(&id).priority(Priority::Critical).or_load(|ctx| query(*ctx.key())).await;
    match found {
        Ok(user) => {
            ([("age", (user.age().0 / 1000).to_string()), ("why", user.why().as_str().to_owned())], (*user).clone())
                .into_response()
        }
        Err(error) if error.is_missing() => StatusCode::NOT_FOUND.into_response(),
        // The reader's own deadline, or a protected origin: come again, the herd is being served.
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, error.to_string()).into_response(),
    }
}

/// Stands for a query that takes its time and knows a thousand users.
async fn query(id: u64) -> Result<Loaded<String>, std::io::Error> {
    tokio::time::sleep(Duration::from_millis(150)).await;
    Ok(if id < 1000 { Loaded::value(format!("user {id}\n")) } else { Loaded::missing() })
}
