//! What does an endpoint answer a client, over one connection that can be cut at any moment?

use std::io;
use std::time::Duration;

use bellwether_resp::{Protocol, ReplyLimits, ReplyParser, Value, Writer};
use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::error::ClientError;
use crate::target::Target;

/// Whoever has not answered by then hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// Room made for a read.
const READ: usize = 16 * 1024;

/// One connection.
pub(crate) struct Client {
    stream: TcpStream,
    input: BytesMut,
    parser: ReplyParser,
}

impl Client {
    /// Connects, and logs in if the target has a password.
    pub(crate) async fn open(target: &Target) -> Result<Client, ClientError> {
        let connecting = TcpStream::connect((target.host.as_str(), target.port));
        let stream = timeout(PATIENCE, connecting).await.map_err(|_| ClientError::Silent(PATIENCE))?;
        let stream = stream.map_err(ClientError::Connect)?;
        stream.set_nodelay(true)?;
        let parser = ReplyParser::new(ReplyLimits::NORMAL);
        let mut client = Client { stream, input: BytesMut::new(), parser };
        if let Some(password) = &target.password {
            let login: Vec<&str> =
                ["AUTH"].into_iter().chain(target.user.as_deref()).chain([password.as_str()]).collect();
            client.accepted("AUTH", &login).await?;
        }
        if target.db != 0 {
            client.accepted("SELECT", &["SELECT", &target.db.to_string()]).await?;
        }
        Ok(client)
    }

    /// Whether it does what it is asked: one that wants a password says so only now.
    pub(crate) async fn is_let_in(&mut self) -> Result<(), ClientError> {
        self.accepted("PING", &["PING"]).await
    }

    async fn accepted(&mut self, command: &'static str, words: &[&str]) -> Result<(), ClientError> {
        match self.call(words).await?.as_error() {
            Some(text) => Err(ClientError::Refused { command, answer: String::from_utf8_lossy(text).into_owned() }),
            None => Ok(()),
        }
    }

    /// Sends one command and reads its reply.
    pub(crate) async fn call(&mut self, words: &[&str]) -> Result<Value, ClientError> {
        self.send(&[words]).await?;
        self.read().await
    }

    /// Sends commands in one write.
    pub(crate) async fn send(&mut self, commands: &[&[&str]]) -> Result<(), ClientError> {
        let mut output = BytesMut::new();
        let mut writer = Writer::new(&mut output, Protocol::Resp2);
        for words in commands {
            writer.array(words.len());
            words.iter().for_each(|word| writer.bulk(word));
        }
        let sending = self.stream.write_all(&output);
        timeout(PATIENCE, sending).await.map_err(|_| ClientError::Silent(PATIENCE))?.map_err(ClientError::Broken)
    }

    /// Reads one reply. May be dropped and called again: nothing is lost.
    pub(crate) async fn read(&mut self) -> Result<Value, ClientError> {
        timeout(PATIENCE, self.read_at_leisure()).await.map_err(|_| ClientError::Silent(PATIENCE))?
    }

    async fn read_at_leisure(&mut self) -> Result<Value, ClientError> {
        loop {
            if let Some(reply) = self.parser.next(&self.input)? {
                self.input.advance(reply.consumed);
                return Ok(reply.value);
            }
            self.input.reserve(READ);
            if self.stream.read_buf(&mut self.input).await? == 0 {
                return Err(ClientError::Broken(io::ErrorKind::UnexpectedEof.into()));
            }
        }
    }

    /// Goes away as a killed process does: with a reset, whatever is under way.
    pub(crate) fn kill(self) {
        // If it can't be set the connection is closed in the usual way, which is a way to go too.
        let _ = self.stream.set_zero_linger();
    }
}
