//! How is a server warmed up before its readers come? Keys from a list, a peer or another Redis, batch by batch, in the
//! background class of its guard.

mod progress;
mod ranking;
mod redis;
mod source;
mod state;
mod wire;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bellwether_server::admin::Page;
use bellwether_server::admin::view::Warmed;
use tokio::signal::unix::SignalKind;

use crate::admin;
use crate::failure::Failure;
use crate::output::{complain, printable, say};
use crate::signals;
use crate::words::counted;
use progress::{Far, Progress};
use source::{Place, Source, Watch};
use state::State;

/// Keys of one batch: after each it is seen how far it is, and whether to stop.
const BATCH: usize = 500;
/// The server works on a batch for 10 s at most.
const LIMIT: Duration = Duration::from_secs(30);
/// If nothing got through for so long, it is given up.
const PATIENCE: Duration = Duration::from_secs(60);

/// How it ends, for the command line's help.
const EXIT_CODES: &str = "Exit codes:\n  \
    0  the keys are there, or have no row\n  \
    1  loads failed, the server or whoever names the keys can't be asked, or it was stopped\n  \
    2  bad input: the list, a URL, the state; no key is named, or none belongs to a space that loads";
const USAGE: &str = "bellwether warm [OPTIONS] <FILE | --space NAME | --from URL>";

#[derive(clap::Args)]
#[command(override_usage = USAGE, after_help = EXIT_CODES)]
#[command(group(clap::ArgGroup::new("keys").required(true).args(["file", "space", "from"])))]
pub(crate) struct Arguments {
    /// Keys, one a line (percent-encoded where they are no plain text), or a hot list; - reads stdin
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// Take the keys that the space's `keys` statement names, in its order
    #[arg(long, value_name = "NAME")]
    space: Option<String>,
    /// Take the keys from a peer's hot list (http://peer:9090), or from another Redis (redis://[user:password@]host:6379,
    /// rediss:// for TLS), the most popular first if it tells
    #[arg(long, value_name = "URL")]
    from: Option<String>,
    /// Of another Redis: the keys that begin so; what stands in front of the key is left out
    #[arg(long, value_name = "TEXT", default_value = "")]
    prefix: String,
    /// Of another Redis over TLS: who signed its certificate, as PEM, instead of what this system trusts
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// At most so many keys in this run
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    /// Remember there how far it is, until the whole list is through: the same command goes on from there
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// The server's admin listener; its password, if any, is read from BELLWETHER_ADMIN_PASSWORD
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:9090")]
    admin: String,
}

/// What became of the keys so far.
#[derive(Default)]
struct Counts {
    /// Keys that earlier runs have done.
    before: u64,
    loaded: u64,
    present: u64,
    missing: u64,
    failed: u64,
    refused: u64,
    error: Option<String>,
    first_refused: Option<String>,
}

impl Counts {
    fn add(&mut self, told: &Warmed) {
        self.loaded += told.loaded;
        self.present += told.present;
        self.missing += told.missing;
        self.failed += told.failed;
        self.refused += told.refused;
        if self.error.is_none() {
            self.error.clone_from(&told.error);
        }
        if self.first_refused.is_none() {
            self.first_refused = told.first_refused.as_deref().map(printable);
        }
    }

    fn answered(&self) -> u64 {
        self.loaded + self.present + self.missing + self.failed + self.refused
    }

    fn far(&self, total: Option<u64>) -> Far {
        // A batch under way counts as far as it was answered.
        Far { done: self.before + self.answered(), here: self.answered(), total }
    }

    fn words(&self) -> String {
        format!(
            "{} loaded, {} there already, {} without a row, {} failed, {} of no space that loads",
            self.loaded, self.present, self.missing, self.failed, self.refused
        )
    }
}

pub(crate) fn warm(arguments: &Arguments) -> Result<(), Failure> {
    if arguments.from.is_none() && (!arguments.prefix.is_empty() || arguments.ca.is_some()) {
        return Err(Failure::input("--prefix and --ca are for --from redis://…"));
    }
    let place = match (&arguments.file, &arguments.space, &arguments.from) {
        (_, Some(space), _) => Place::Space(space.clone()),
        (_, _, Some(url)) => Place::of_url(url, &arguments.prefix, arguments.ca.as_deref())?,
        (Some(path), ..) if path == Path::new("-") => Place::Stdin,
        (Some(path), ..) => Place::File(path.clone()),
        (None, None, None) => return Err(Failure::input(format!("which keys? {USAGE}"))),
    };
    let mut state = State::open(arguments.state.as_deref(), &place)?;
    let stop = stop_on_signals();
    let mut progress = Progress::new();
    let watch = Watch { progress: &mut progress, stop: &stop };
    let mut source = state.source(&place, &arguments.admin, arguments.limit, watch)?;
    let mut counts = Counts { before: state.done(), ..Counts::default() };
    progress.begin();
    let done = load_all(arguments, &mut source, &mut state, &mut counts, &stop, &mut progress);
    progress.clear();
    if let Err(failure) = done {
        return Err(unfinished(failure, &state, &counts));
    }
    counts.refused += source.refused();
    let run = Run { keys: state.done() - counts.before + source.refused(), rest: rest(&mut source, &state) };
    let through = state.done() + source.refused();
    if run.rest.is_none() {
        state.end(&place);
    }
    conclude(&run, through, &counts, &place)
}

/// What one run did.
struct Run {
    /// Keys that it was about.
    keys: u64,
    /// What it leaves to the next one, in words; `None`: the whole list is through.
    rest: Option<String>,
}

/// Whether a limit ended the run before its list, so that what is kept says where the next one begins.
fn rest(source: &mut Source, state: &State) -> Option<String> {
    // Whoever remembers nothing need not ask whether there was more. A line that can't be read is not through.
    if !state.is_kept() || source.next(1).is_ok_and(|keys| keys.is_empty()) {
        return None;
    }
    let total = source.total().map(|total| format!(" of {total}")).unwrap_or_default();
    Some(format!("{}{total} are through now; the same command goes on from there", state.done()))
}

/// Loads batch by batch, and remembers each.
fn load_all(
    arguments: &Arguments,
    source: &mut Source,
    state: &mut State,
    counts: &mut Counts,
    stop: &AtomicBool,
    progress: &mut Progress,
) -> Result<(), Failure> {
    let last = counts.before.saturating_add(arguments.limit.unwrap_or(u64::MAX));
    let total = source.total().map(|total| total.min(last));
    loop {
        let room = last.saturating_sub(state.done()).min(BATCH as u64);
        let batch = source.next(usize::try_from(room).unwrap_or(BATCH))?;
        if batch.is_empty() {
            return Ok(());
        }
        let mut show = |counts: &Counts| progress.show(counts.far(total));
        load(&arguments.admin, batch.clone(), counts, stop, &mut show)?;
        state.keep(&batch)?;
        if stop.load(Ordering::Relaxed) {
            return Err(Failure::Run("stopped".to_owned()));
        }
    }
}

/// How far it came, and how it goes on.
fn unfinished(failure: Failure, state: &State, counts: &Counts) -> Failure {
    if state.done() == 0 && counts.answered() == 0 {
        return failure;
    }
    let go_on = if state.is_kept() { "the same command goes on from there" } else { "--state FILE would let it go on" };
    let earlier = if counts.before == 0 { "" } else { "in this run " };
    let far = format!("done: {} ({earlier}{}); {go_on}", counted(state.done(), "key"), counts.words());
    match failure {
        Failure::Run(words) => Failure::Run(format!("{words}: {far}")),
        Failure::Input(mut lines) => {
            lines.push(format!("bellwether: {far}"));
            Failure::Input(lines)
        }
    }
}

/// What came of it all.
fn conclude(run: &Run, through: u64, counts: &Counts, place: &Place) -> Result<(), Failure> {
    if through == 0 {
        return Err(Failure::input(format!("{} names no key: nothing was loaded", place.named())));
    }
    let earlier = match (&run.rest, counts.before) {
        (Some(rest), _) => format!("; {rest}"),
        (None, 0) => String::new(),
        (None, _) => format!("; {through} with those of earlier runs, that was all"),
    };
    say(&format!("{}: {}{earlier}", counted(run.keys, "key"), counts.words()));
    let refused = counts.first_refused.as_ref().map(|key| format!(" ('{key}' is one)")).unwrap_or_default();
    if counts.refused > 0 && counts.refused == counts.answered() && counts.before == 0 {
        let hint = "`match` of its [[space]] says which keys belong to it, `origin` that it loads";
        return Err(Failure::input(format!("no key belongs to a space that loads{refused}: {hint}")));
    }
    match (&counts.error, counts.failed) {
        (Some(error), failed @ 1..) => {
            Err(Failure::Run(format!("{} failed; the first: {}", counted(failed, "load"), printable(error))))
        }
        _ if counts.refused > 0 => {
            complain(&format!("no space loads {}{refused}", counted(counts.refused, "key")));
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Sends a batch, and again what the guard turned away.
fn load(
    url: &str,
    mut keys: Vec<String>,
    counts: &mut Counts,
    stop: &AtomicBool,
    show: &mut impl FnMut(&Counts),
) -> Result<(), Failure> {
    let mut moved = Instant::now();
    while !keys.is_empty() {
        let answer = admin::send(url, Page::Warm.path(), &keys.join("\n"), LIMIT)?;
        if answer.status != 200 {
            return Err(admin::refusal(&answer));
        }
        let told: Warmed = serde_json::from_str(&answer.body).unwrap_or_default();
        let before = counts.answered();
        counts.add(&told);
        if counts.answered() > before {
            moved = Instant::now();
        } else if moved.elapsed() > PATIENCE {
            return Err(Failure::Run(format!("the origin's guard let nothing through for {} s", PATIENCE.as_secs())));
        }
        show(counts);
        keys = told.again;
        if stop.load(Ordering::Relaxed) && !keys.is_empty() {
            return Err(Failure::Run("stopped in the middle of a batch".to_owned()));
        }
    }
    Ok(())
}

/// Set once somebody asked it to end: it ends after the batch under way, and knows how far it came. A second time does not
/// wait.
fn stop_on_signals() -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    let asked = stop.clone();
    let told = move |_| {
        if asked.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
    };
    if let Err(error) = signals::hear([SignalKind::interrupt(), SignalKind::terminate()], told) {
        complain(&format!(
            "bellwether: no thread for signals ({error}): an interrupt ends it in the middle of a batch"
        ));
    }
    stop
}
