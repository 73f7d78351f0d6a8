//! Does the endpoint read through to the drill's origin, and if not, what is missing?

use crate::answer::Answer;
use crate::error::ClientError;
use crate::error::DrillError;
use crate::key::Key;
use crate::races::space::Space;
use crate::races::stage::Stage;

const CONFIGURE: &str = "Only a server that loads what it does not hold can be raced; a plain Redis loads nothing. Tell it \
                         of the drill's spaces: `bellwether drill races --print-config` prints them as TOML (with the \
                         same --origin, if any).";
const REACH: &str = "It must know the drill's spaces, and reach the origin at the address above: \
                     `bellwether drill races --print-config` prints them as TOML (with the same --origin, if any).";
const LOGIN: &str = "Put its password into the URL, or into BELLWETHER_DRILL_PASSWORD.";

/// Asks for one key of each space, and removes it.
pub(super) async fn check(stage: &Stage) -> Result<(), DrillError> {
    let unreachable = |error| DrillError::Unreachable { target: stage.target.to_string(), error };
    let mut client = stage.connect().await.map_err(unreachable)?;
    for space in Space::ALL {
        let key = stage.key(space);
        let reply = client.call(&["GET", &key.name]).await.map_err(unreachable)?;
        let answer = Answer::read(&reply, &key);
        if let Some((found, advice)) = missing(&answer, &key, stage.loads(&key)) {
            let (target, origin) = (stage.target.to_string(), stage.origin.address());
            return Err(DrillError::NotReadThrough { target, origin, found, advice });
        }
        let removed = client.call(&["DEL", &key.name]).await.map_err(unreachable)?;
        if let Some(text) = removed.as_error() {
            let answer = String::from_utf8_lossy(text).into_owned();
            return Err(unreachable(ClientError::Refused { command: "DEL", answer }));
        }
    }
    Ok(())
}

/// What was seen instead of a read-through, and what to do about it.
fn missing(answer: &Answer, key: &Key, loads: u64) -> Option<(String, &'static str)> {
    let name = &key.name;
    match answer {
        Answer::Version(1) if loads > 0 => None,
        Answer::Nil if loads == 0 => {
            Some((format!("GET {name} was answered nil, and the origin was not asked"), CONFIGURE))
        }
        Answer::Refused(text) if text.starts_with("NOAUTH") || text.starts_with("NOPERM") => {
            Some((format!("GET {name} was refused: {text}"), LOGIN))
        }
        Answer::Refused(text) if text.starts_with("BWNOSPACE") => {
            Some((format!("GET {name} was refused: {text}"), CONFIGURE))
        }
        Answer::Refused(text) if loads == 0 => Some((format!("GET {name} was refused: {text}"), REACH)),
        Answer::Refused(text) => Some((format!("the origin was asked for {name}, but the answer was: {text}"), REACH)),
        Answer::Nil => Some((format!("the origin was asked for {name}, but the answer was nil"), CONFIGURE)),
        Answer::Version(_) | Answer::Foreign | Answer::Lost => {
            Some((format!("GET {name} was answered something else than the origin's row"), CONFIGURE))
        }
    }
}
