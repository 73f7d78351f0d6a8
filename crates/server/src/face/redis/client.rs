//! What does a connection know of its client, and how is the client told something?

use std::net::SocketAddr;
use std::sync::Arc;

use bellwether::Tick;
use bellwether_resp::{Protocol, Writer};
use bytes::Bytes;

use super::clients::Clients;
use super::commands::words;
use super::following::Following;
use super::order::Order;
use super::replies::{Later, Replies, Reply};
use crate::service::{Outcome, Peer, Refusal, Service, Terms};
use crate::shutdown::Shutdown;

/// One client.
pub(super) struct Client {
    pub(super) service: Service,
    pub(super) clients: Arc<Clients>,
    pub(super) id: u64,
    pub(super) peer: SocketAddr,
    /// By it budgets know the client.
    payer: Peer,
    pub(super) protocol: Protocol,
    pub(super) name: Vec<u8>,
    pub(super) library: Library,
    /// It has said the password, or none is needed.
    pub(super) known: bool,
    /// When the commands at hand were parsed: one reading of the clock per batch.
    pub(super) now: Tick,
    pub(super) replies: Replies,
    /// A GET may be answered without a further look at who asks.
    pub(super) plain: bool,
    /// Between MULTI and EXEC.
    pub(super) multi: Option<Queue>,
    /// Being executed, one after another.
    pub(super) exec: Option<Queue>,
    /// The present command is one of those.
    pub(super) executing: bool,
    /// Nothing is begun before all is answered that was begun.
    pub(super) waits: bool,
    /// Which commands are under way that others must know of, and which wait for them.
    pub(super) order: Order,
    /// Once all replies are sent, that is all.
    pub(super) closing: bool,
    /// Commands whose replies are still to be left out, the present one included.
    pub(super) skip: u8,
    /// Commands begun.
    pub(super) commands: u64,
    pub(super) shutdown: Shutdown,
    /// What it is told without having asked.
    pub(super) following: Following,
}

/// What a client's library says of itself.
#[derive(Default)]
pub(super) struct Library {
    pub(super) name: Vec<u8>,
    pub(super) version: Vec<u8>,
}

/// Commands of one MULTI, as they were sent.
#[derive(Default)]
pub(super) struct Queue {
    pub(super) bytes: Vec<u8>,
    pub(super) commands: usize,
    /// One of them was refused.
    pub(super) broken: bool,
}

impl Queue {
    fn held(queue: Option<&Queue>) -> usize {
        queue.map_or(0, |queue| queue.bytes.capacity())
    }
}

impl Client {
    /// Bytes of commands that wait to be executed.
    pub(super) fn queued(&self) -> usize {
        Queue::held(self.multi.as_ref()) + Queue::held(self.exec.as_ref()) + self.order.held()
    }

    pub(super) fn new(
        service: Service,
        clients: Arc<Clients>,
        id: u64,
        peer: SocketAddr,
        shutdown: Shutdown,
    ) -> Client {
        let service = service.on_behalf_of(id);
        Client {
            following: Following::new(&service, id),
            payer: service.peer(peer.ip()),
            known: service.password().is_none(),
            now: service.now(),
            service,
            clients,
            id,
            peer,
            protocol: Protocol::Resp2,
            name: Vec::new(),
            library: Library::default(),
            replies: Replies::default(),
            plain: false,
            multi: None,
            exec: None,
            executing: false,
            waits: false,
            order: Order::default(),
            closing: false,
            skip: 0,
            commands: 0,
            shutdown,
        }
    }

    /// Whether all is answered, and whatever comes next is answered at once where its reply is known.
    #[inline]
    pub(super) fn is_at_rest(&self) -> bool {
        let under_way = self.exec.is_some() || self.waits || self.closing || self.skip > 0;
        !under_way && self.replies.is_at_rest()
    }

    pub(super) fn writer(&mut self) -> Writer<'_, Vec<u8>> {
        self.replies.writer(self.protocol)
    }

    pub(super) fn ok(&mut self) {
        self.writer().ok();
    }

    pub(super) fn simple(&mut self, text: &str) {
        self.writer().simple(text);
    }

    pub(super) fn int(&mut self, number: impl TryInto<i64>) {
        self.writer().int(number.try_into().unwrap_or(i64::MAX));
    }

    pub(super) fn bulk(&mut self, bytes: impl AsRef<[u8]>) {
        self.writer().bulk(bytes);
    }

    pub(super) fn error(&mut self, words: impl AsRef<[u8]>) {
        self.writer().error(words);
    }

    pub(super) fn refused(&mut self, refusal: &Refusal, key: &[u8]) {
        self.error(refusal.words(key));
    }

    /// The number of what was done, or why it was not.
    pub(super) fn counted(&mut self, result: Result<bool, Refusal>, key: &[u8]) {
        match result {
            Ok(done) => self.int(i64::from(done)),
            Err(refusal) => self.refused(&refusal, key),
        }
    }

    /// The outcome of a read of `key`, as GET tells it.
    pub(super) fn outcome(&mut self, outcome: Outcome, key: &[u8]) {
        match outcome {
            Outcome::Value(value) => self.replies.value(value),
            Outcome::Missing(_) => self.writer().nil(),
            failed => {
                let words = words::failed(&failed, key);
                self.error(words);
            }
        }
    }

    /// What every read of the present batch of commands insists on, unless it says otherwise.
    pub(super) fn terms(&self) -> Terms {
        Terms { peer: Some(self.payer), ..Terms::asked(self.now) }
    }

    /// Reads `key`, now if memory can answer, and tells the outcome by `tell`.
    pub(super) fn read(
        &mut self,
        key: &[u8],
        terms: Terms,
        tell: impl FnOnce(Outcome, &[u8], Protocol) -> Reply + Send + 'static,
    ) {
        let watched = self.hands(key);
        let (service, key, protocol) = (self.service.clone(), Bytes::copy_from_slice(key), self.protocol);
        self.later(Box::pin(async move {
            let outcome = service.read(key.clone(), terms).await;
            if watched {
                service.handed(&key, &outcome, service.now());
            }
            tell(outcome, &key, protocol)
        }));
    }

    /// Remembers that this client is about to be handed what `key` has, if anybody must hear when that is no longer
    /// good: then [`Service::handed`] is to follow.
    pub(super) fn hands(&self, key: &[u8]) -> bool {
        let keeps = self.following.keeps();
        let watched = keeps || self.service.watch().is_broadcasting();
        if watched {
            self.service.watch().hands(key, keeps.then_some(self.id));
        }
        watched
    }

    pub(super) fn later(&mut self, later: Later) {
        self.replies.later(later);
    }
}

/// A reply that is written at once, apart from its connection.
pub(super) fn written(protocol: Protocol, write: impl FnOnce(&mut Writer<'_, Vec<u8>>)) -> Reply {
    let mut bytes = Vec::new();
    write(&mut Writer::new(&mut bytes, protocol));
    Reply::Bytes(bytes)
}

/// An outcome as GET tells it.
pub(super) fn told(outcome: Outcome, key: &[u8], protocol: Protocol) -> Reply {
    match outcome {
        Outcome::Value(value) => Reply::Value(value),
        Outcome::Missing(_) => written(protocol, |writer| writer.nil()),
        failed => written(protocol, |writer| writer.error(words::failed(&failed, key))),
    }
}
