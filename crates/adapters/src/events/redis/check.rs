//! Can this Redis carry the backplane, and is it the one that the rest of the fleet uses? Asked before it is relied on.

use redis::{RedisError, RedisResult, Value, cmd};

use super::RedisEvents;
use super::names::Names;
use crate::SetupError;
use crate::tiers::redis::{is_of_a_scripts_user, reach};
use bellwether::Invalidation;
use bellwether::events::{Batch, Delivery, Message, TransportError};

/// The oldest version that is enough, as for the shared tier.
const OLDEST: (u64, u64) = (6, 0);
/// What an ACL user must be allowed.
const RIGHTS: &str = "+info +eval +evalsha +xadd +xread +xinfo +hset +hmget +hget +hdel +hscan +zadd +zrem +zcard \
    +zrange +zrangebyscore +unlink +exists +time +ping +get +set";

impl RedisEvents {
    /// Asks whoever is there: reachable? new enough? all rights, tried on keys of no use to anybody that are gone
    /// afterwards?
    ///
    /// # Errors
    /// What keeps it from carrying the backplane, and what to do about it.
    pub async fn check(&self) -> Result<(), SetupError> {
        let info: RedisResult<Value> = match self.wire().await {
            Ok(mut wire) => cmd("INFO").arg("server").query_async(&mut wire).await,
            Err(error) => return Err(self.cant(&error)),
        };
        let text = match info {
            Ok(Value::BulkString(bytes)) => String::from_utf8_lossy(&bytes).into_owned(),
            Ok(Value::VerbatimString { text, .. }) => text,
            // A cluster answers for each of its nodes.
            Ok(_) => String::new(),
            Err(error) => return Err(self.cant(&error)),
        };
        if let Some((major, minor)) = version(&text).filter(|version| *version < OLDEST) {
            let problem = format!("the backplane's Redis {major}.{minor} is too old");
            return Err(SetupError::new(problem, "6.0 or newer is needed, or any Valkey"));
        }
        let names = self.names.apart(fastrand::u64(..));
        let tried = self.try_all(&names).await;
        // They would go with nobody: floors and a stream have no end of their own. Where even this is forbidden the
        // check has failed before.
        let _: RedisResult<()> = self.tidy(&names).await;
        tried.map_err(|error| self.cant(&error))
    }

    /// Every command of the backplane once.
    async fn try_all(&self, names: &Names) -> RedisResult<()> {
        let tag = Message::Tag { hash: 0, verb: Invalidation::Expire };
        let batch = Batch { sender: 0, messages: vec![tag] };
        for batch in [Some(&batch), None] {
            self.step_at(names, batch).await?;
        }
        let mut wire = self.wire().await?;
        cmd("HSCAN").arg(&names.floors).arg(0).query_async::<Value>(&mut wire).await?;
        cmd("HGET").arg(&names.floors).arg(".at").query_async::<Value>(&mut wire).await?;
        cmd("SET").arg(&names.fleet).arg("x").arg("NX").query_async::<Value>(&mut wire).await?;
        cmd("GET").arg(&names.fleet).query_async::<Value>(&mut wire).await?;
        cmd("HSET").arg(&names.announced).arg("x").arg("x").query_async::<Value>(&mut wire).await?;
        match self.delivery {
            Delivery::Replayed => {
                let mut read = cmd("XREAD");
                read.arg("COUNT").arg(1).arg("STREAMS").arg(&names.stream).arg("0-0");
                read.query_async::<Value>(&mut wire).await.map(drop)
            }
            Delivery::BestEffort => self.link.subscribe(&names.channel).await.map(drop),
        }
    }

    async fn tidy(&self, names: &Names) -> RedisResult<()> {
        let mut wire = self.wire().await?;
        let all = [&names.stream, &names.floors, &names.ages, &names.fleet, &names.announced];
        cmd("UNLINK").arg(&all[..]).query_async(&mut wire).await
    }

    /// What an error means, and the way out.
    fn cant(&self, error: &RedisError) -> SetupError {
        // The client library names no passwords.
        let said = match error.kind() {
            redis::ErrorKind::Parse => "it answered what is no RESP".to_owned(),
            _ => error.to_string(),
        };
        // A script's error has the word in its text.
        let has = |word: &str| error.code() == Some(word) || said.contains(word);
        let (keys, channels) = self.names.patterns();
        let hint = if has("NOAUTH") || has("WRONGPASS") || error.kind() == redis::ErrorKind::AuthenticationFailed {
            "check user and password".to_owned()
        } else if has("NOPERM") || is_of_a_scripts_user(&said) {
            let more = if self.delivery == Delivery::BestEffort {
                format!(" {channels} +publish +subscribe")
            } else {
                String::new()
            };
            format!("its user needs {keys} {RIGHTS}{more}")
        } else if has("READONLY") {
            "it is a replica: name the primary, or the sentinels: redis+sentinel://HOST:26379/NAME".to_owned()
        } else if has("OOM") {
            "it is full: raise its maxmemory".to_owned()
        } else if has("MOVED") {
            "it is a node of a cluster: write redis+cluster://".to_owned()
        } else {
            format!("{}; without `backplane` its address is that of `url`", reach(self.tls))
        };
        SetupError::new(format!("the backplane can't be used: {said}"), hint)
    }

    /// The word by which processes know that they use one backplane, whatever it is called where they run. `None`: it
    /// has none yet, or has lost it.
    ///
    /// # Errors
    /// It can't be asked.
    pub async fn identity(&self) -> Result<Option<String>, TransportError> {
        self.ask(async |mut wire| cmd("GET").arg(&self.names.fleet).query_async(&mut wire).await).await
    }

    /// Gives it a word, this one or nobody else's, unless it has one; the word that it has then.
    ///
    /// # Errors
    /// It can't be asked, or takes no writes.
    pub async fn identify(&self, word: Option<&str>) -> Result<String, TransportError> {
        let fresh = || format!("{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..));
        let word = word.map_or_else(fresh, str::to_owned);
        self.ask(async |mut wire| {
            cmd("SET").arg(&self.names.fleet).arg(word).arg("NX").query_async::<Value>(&mut wire).await?;
            cmd("GET").arg(&self.names.fleet).query_async(&mut wire).await
        })
        .await
    }
}

/// Of a single server.
fn version(info: &str) -> Option<(u64, u64)> {
    let version = info.lines().find_map(|line| line.strip_prefix("redis_version:"))?;
    let mut parts = version.trim().split('.').map(|part| part.parse().ok());
    Some((parts.next()??, parts.next()??))
}
