//! How does any server come up, freeze, die and come back?

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use std::{io, os, thread};

use rustix::process::Signal;

use crate::error::ServerError;
use crate::process::Process;
use crate::program::{User, in_group};

/// From start to the first answer; a busy machine needs part of it.
const START_LIMIT: Duration = Duration::from_secs(20);
/// A try to reach a server that may not listen yet.
const CONNECT_LIMIT: Duration = Duration::from_millis(500);
/// Between two looks at a server that starts.
const PAUSE: Duration = Duration::from_millis(10);
/// Before a server that has ended at once is started anew.
const AGAIN: Duration = Duration::from_millis(100);
/// Starts of a server that ends at once, on other ports each time if it has not run before.
const ATTEMPTS: usize = 4;
/// What every server says, among other words, whose port is somebody else's.
const TAKEN: &str = "already in use";
/// The end of a log that an error shows.
const LOG_LINES: usize = 15;
/// Ports are chosen from here on, so many: below those that the kernel gives to outgoing connections, so that a server
/// that was killed finds its port free when it comes back.
const FIRST_PORT: u16 = 10_240;
const PORTS: u64 = 20_000;
/// Ports that are tried before there seem to be none.
const PORT_TRIES: usize = 200;

/// What a recipe knows about something.
type Asked<What, Answer> = Box<dyn Fn(&What) -> Answer + Send + Sync>;

/// What a server needs to be started.
pub(crate) struct Recipe {
    /// Its file.
    pub(crate) program: PathBuf,
    /// Its arguments.
    pub(crate) arguments: Asked<Place, Vec<String>>,
    /// As whom, if it refuses root.
    pub(crate) user: Option<User>,
    /// Variables of the environment that begin so are kept from it.
    pub(crate) without: Option<&'static str>,
    /// How it is asked to end, if a kill would leave something behind.
    pub(crate) farewell: Option<Signal>,
    /// Makes its directory ready, once.
    pub(crate) prepare: Asked<Path, Result<(), ServerError>>,
    /// Whether it answers.
    pub(crate) ready: Asked<Place, bool>,
}

/// Where a server lives.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// Its directory.
    pub(crate) home: PathBuf,
    /// Its port.
    pub(crate) port: u16,
    /// Another one, for what it may need besides.
    pub(crate) second: u16,
}

impl Place {
    pub(crate) fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }

    /// Everything it has said since it was started last.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(log_file(self)).unwrap_or_default()
    }

    /// A connection, if it accepts any.
    pub(crate) fn connect(&self) -> Option<TcpStream> {
        let stream = TcpStream::connect_timeout(&self.address(), CONNECT_LIMIT).ok()?;
        stream.set_read_timeout(Some(CONNECT_LIMIT)).ok()?;
        Some(stream)
    }
}

/// A server that was started, and what can be done to it.
pub struct Running {
    recipe: Recipe,
    place: Place,
    process: Mutex<Option<Process>>,
    _home: tempfile::TempDir,
}

impl Running {
    pub(crate) fn start(recipe: Recipe) -> Result<Running, ServerError> {
        let failed = ServerError::system("no temporary directory for a server");
        let home = tempfile::Builder::new().prefix("bw-server-").tempdir().map_err(failed)?;
        if let Some(User { uid, gid }) = recipe.user {
            let given = os::unix::fs::chown(home.path(), Some(uid), Some(gid));
            given.map_err(ServerError::system(format!("{} can't be given to user {uid}", home.path().display())))?;
        }
        (recipe.prepare)(home.path())?;
        let mut place = Place { home: home.path().to_owned(), port: free_port()?, second: free_port()? };
        for attempt in 1.. {
            match launch(&recipe, &place) {
                Ok(process) => {
                    return Ok(Running { recipe, place, process: Mutex::new(Some(process)), _home: home });
                }
                // Somebody may have taken the port meanwhile.
                Err(Launch::Ended(_)) if attempt < ATTEMPTS && place.log().contains(TAKEN) => {
                    (place.port, place.second) = (free_port()?, free_port()?);
                }
                Err(error) => return Err(error.into()),
            }
        }
        unreachable!("the last attempt returns")
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.place.address()
    }

    /// Its directory; gone when it is dropped.
    pub fn home(&self) -> &Path {
        &self.place.home
    }

    /// Its process id; none once it was killed.
    pub fn pid(&self) -> Option<u32> {
        self.process().as_ref().map(Process::id)
    }

    /// Whether its process runs; a frozen one does.
    pub fn alive(&self) -> bool {
        self.process().as_mut().is_some_and(Process::alive)
    }

    /// Stops it, and its children, in the middle of what they do (SIGSTOP): its connections stay open, and silent.
    pub fn freeze(&self) -> Result<(), ServerError> {
        self.act("freezing a server", |process| process.signal_all(Signal::STOP))
    }

    /// Lets it go on (SIGCONT).
    pub fn thaw(&self) -> Result<(), ServerError> {
        self.act("thawing a server", |process| process.signal_all(Signal::CONT))
    }

    /// `kill -9`; returns when it is gone.
    pub fn kill(&self) -> Result<(), ServerError> {
        self.act("killing a server", |process| process.signal(Signal::KILL))?;
        // Its `drop` waits for the end.
        self.process().take();
        Ok(())
    }

    /// Asks it to end by `SIGTERM`, as whoever replaces a server does; kills it if it does not in five seconds.
    pub fn end(&self) {
        if let Some(mut process) = self.process().take() {
            process.ask_to_end(Signal::TERM);
        }
    }

    /// Starts it again on the same port, in the same directory; kills it first if it runs.
    pub fn restart(&self) -> Result<(), ServerError> {
        let mut process = self.process();
        *process = None;
        for attempt in 1.. {
            match launch(&self.recipe, &self.place) {
                Ok(running) => {
                    *process = Some(running);
                    return Ok(());
                }
                // What the last life left behind may still be going away.
                Err(Launch::Ended(_)) if attempt < ATTEMPTS => thread::sleep(AGAIN),
                Err(error) => return Err(error.into()),
            }
        }
        unreachable!("the last attempt returns")
    }

    /// Everything it has said since it was started last.
    pub fn log(&self) -> String {
        self.place.log()
    }

    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    fn act(&self, what: &str, action: impl FnOnce(&Process) -> io::Result<()>) -> Result<(), ServerError> {
        let process = self.process();
        let process = process.as_ref().ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "it does not run"));
        process.and_then(action).map_err(ServerError::system(what))
    }

    fn process(&self) -> MutexGuard<'_, Option<Process>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a server did not come up.
enum Launch {
    /// It ended by itself.
    Ended(ServerError),
    Other(ServerError),
}

impl From<Launch> for ServerError {
    fn from(launch: Launch) -> ServerError {
        match launch {
            Launch::Ended(error) | Launch::Other(error) => error,
        }
    }
}

fn launch(recipe: &Recipe, place: &Place) -> Result<Process, Launch> {
    let name = recipe.program.display();
    let other = |what: String| |source| Launch::Other(ServerError::System { what, source });
    let mut command = in_group(&recipe.program, recipe.user);
    command.args((recipe.arguments)(place)).current_dir(&place.home);
    let kept = |name: &OsString| recipe.without.is_some_and(|prefix| name.to_string_lossy().starts_with(prefix));
    for (name, _) in std::env::vars_os().filter(|(name, _)| kept(name)) {
        command.env_remove(name);
    }
    let log = log(place).map_err(other("a server's log can't be written".to_owned()))?;
    let process = Process::spawn(command, log, recipe.farewell);
    let mut process = process.map_err(other(format!("{name} can't be started")))?;
    let begun = Instant::now();
    loop {
        let alive = process.alive();
        // Not one that somebody else has on this port.
        if alive && (recipe.ready)(place) && process.alive() {
            return Ok(process);
        }
        if !alive {
            return Err(Launch::Ended(ServerError::Failed { program: name.to_string(), said: last_lines(place) }));
        }
        if begun.elapsed() > START_LIMIT {
            let what = format!("an answer of {name}; it says:\n{}", last_lines(place));
            return Err(Launch::Other(ServerError::Late { what, limit: START_LIMIT }));
        }
        thread::sleep(PAUSE);
    }
}

fn log_file(place: &Place) -> PathBuf {
    place.home.join("log")
}

/// Empty at the start of each life; appended to, as both outputs go there.
fn log(place: &Place) -> io::Result<File> {
    File::create(log_file(place))?;
    OpenOptions::new().append(true).open(log_file(place))
}

fn last_lines(place: &Place) -> String {
    let text = place.log();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
}

/// A port of this machine that nobody listens at. Nobody can keep it for us, so the caller may have to ask again.
fn free_port() -> Result<u16, ServerError> {
    for _ in 0..PORT_TRIES {
        // A keyed hash of nothing: the standard library's one source of randomness.
        let drawn = RandomState::new().build_hasher().finish() % PORTS;
        let port = FIRST_PORT + u16::try_from(drawn).unwrap_or_default();
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    Err(ServerError::System { what: "no free port".into(), source: io::ErrorKind::AddrInUse.into() })
}
