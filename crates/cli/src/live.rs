//! How does a view live in a terminal? On its second screen, drawn anew every second until `q` or Ctrl-C; whoever it shows may
//! be away meanwhile.

use std::io::{self, Read as _, Write as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use tokio::signal::unix::SignalKind;

use crate::failure::Failure;
use crate::signals;

/// Drawn anew so often.
pub(crate) const EVERY: Duration = Duration::from_secs(1);
/// Whoever does not answer is asked again after pauses that double, up to this.
const LONGEST_PAUSE: Duration = Duration::from_secs(8);
/// To the second screen, without a cursor; what is wider is cut.
const ENTER: &str = "\x1b[?1049h\x1b[?25l\x1b[?7l";
/// Back to where the user was.
const LEAVE: &str = "\x1b[?7h\x1b[?25h\x1b[?1049l";

/// Shows what `look` finds at `url`, again and again; `None`: nothing yet. If the first look fails there is nothing to show. A
/// later one that fails is told in the view, which goes on.
pub(crate) fn watch(url: &str, mut look: impl FnMut() -> Result<Option<String>, Failure>) -> Result<(), Failure> {
    let mut shown = look()?.unwrap_or_default();
    let screen = Screen::enter().map_err(|error| Failure::Run(format!("no thread can be started: {error}")))?;
    let mut away: Option<Away> = None;
    loop {
        let said = away.as_ref().map(Away::words).unwrap_or_default();
        if screen.show(&format!("{said}{shown}"), &format!("{url}, every second; q ends it")).is_err() {
            // Nobody looks any more.
            return Ok(());
        }
        thread::sleep(away.as_ref().map_or(EVERY, |away| away.pause));
        match look() {
            Ok(found) => {
                away = None;
                shown = found.unwrap_or(shown);
            }
            Err(Failure::Run(words)) => away = Some(Away::again(away, words)),
            Err(wrong @ Failure::Input(_)) => return Err(wrong),
        }
    }
}

/// Nothing is heard of whoever is shown.
struct Away {
    since: Instant,
    why: String,
    /// Until it is asked again.
    pause: Duration,
}

impl Away {
    fn again(before: Option<Away>, why: String) -> Away {
        match before {
            None => Away { since: Instant::now(), why, pause: EVERY },
            Some(before) => Away { why, pause: (before.pause * 2).min(LONGEST_PAUSE), ..before },
        }
    }

    fn words(&self) -> String {
        let (since, pause) = (self.since.elapsed().as_secs(), self.pause.as_secs());
        format!("{}\nnothing new for {since} s; asked again in {pause} s; it was:\n\n", self.why)
    }
}

/// The terminal's second screen. Dropped, it leaves the terminal as it was; so it does when the program is told to end.
struct Screen(Arc<Terminal>);

struct Terminal {
    /// How it was before, if keys can be read from it; taken by who restores it.
    before: Mutex<Option<Termios>>,
}

impl Screen {
    fn enter() -> io::Result<Screen> {
        // None: keys come from elsewhere, or nowhere.
        let before = tcgetattr(io::stdin()).ok();
        let reads_keys = before.clone();
        let terminal = Arc::new(Terminal { before: Mutex::new(before) });
        let told = terminal.clone();
        let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
        signals::hear(kinds, move |kind| {
            // An interrupt is how a view is ended.
            told.end(if kind == SignalKind::interrupt() { 0 } else { 128 + kind.as_raw_value() })
        })?;
        if let Some(mut settings) = reads_keys {
            settings.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
            // Put to sleep it would leave its screen behind.
            settings.special_codes[SpecialCodeIndex::VSUSP] = 0;
            // Where it can't be set a line's end has to follow the `q`.
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, &settings);
            let pressed = terminal.clone();
            thread::Builder::new().name("keys".to_owned()).spawn(move || pressed.read_keys())?;
        }
        // A panic is told where it can still be read afterwards.
        let (hook, panicked) = (std::panic::take_hook(), terminal.clone());
        std::panic::set_hook(Box::new(move |panic| {
            panicked.restore();
            hook(panic);
        }));
        // What can't be written is noticed by the first picture.
        let _ = write(ENTER);
        Ok(Screen(terminal))
    }

    fn show(&self, text: &str, foot: &str) -> io::Result<()> {
        // Not a terminal any more: then it has no size.
        let rows = tcgetwinsize(io::stdout()).map_or(24, |size| usize::from(size.ws_row));
        write(&frame(text, foot, rows))
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.0.restore();
    }
}

impl Terminal {
    fn read_keys(&self) {
        let mut key = [0];
        while io::stdin().read(&mut key).is_ok_and(|read| read > 0) {
            if key[0].eq_ignore_ascii_case(&b'q') {
                self.end(0);
            }
        }
    }

    fn restore(&self) {
        // It may be gone: then there is nothing to restore.
        let _ = write(LEAVE);
        if let Some(before) = self.before.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, &before);
        }
    }

    fn end(&self, code: i32) -> ! {
        // Held to the end: nothing is drawn over what was restored.
        let _out = io::stdout().lock();
        self.restore();
        std::process::exit(code)
    }
}

/// Everything from the top, each line to its end, so that nothing flickers; what does not fit above the foot is left out.
fn frame(text: &str, foot: &str, rows: usize) -> String {
    let body: String = text.lines().take(rows.saturating_sub(2)).map(|line| format!("{line}\x1b[K\r\n")).collect();
    format!("\x1b[H{body}\x1b[K\r\n{foot}\x1b[K\x1b[J")
}

fn write(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_replaces_the_one_before_wholly_and_keeps_its_foot_on_a_small_screen() {
        assert_eq!(frame("one\ntwo\n", "foot", 24), "\x1b[Hone\x1b[K\r\ntwo\x1b[K\r\n\x1b[K\r\nfoot\x1b[K\x1b[J");
        assert_eq!(frame("one\ntwo\n", "foot", 3), "\x1b[Hone\x1b[K\r\n\x1b[K\r\nfoot\x1b[K\x1b[J");
        assert_eq!(frame("one", "foot", 0), "\x1b[H\x1b[K\r\nfoot\x1b[K\x1b[J");
    }

    #[test]
    fn whoever_is_away_is_asked_again_less_and_less_often_but_never_given_up() {
        let mut away = None;
        let mut pauses = Vec::new();
        for _ in 0..6 {
            let next = Away::again(away, "no server".to_owned());
            pauses.push(next.pause.as_secs());
            away = Some(next);
        }
        assert_eq!(pauses, [1, 2, 4, 8, 8, 8]);
        let said = away.expect("it is").words();
        assert!(said.starts_with("no server\nnothing new for 0 s; asked again in 8 s"), "{said}");
    }
}
