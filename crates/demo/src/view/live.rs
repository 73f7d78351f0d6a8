//! How does the view live? A thread draws the scene on the terminal's second screen, ten times a second.

use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use parking_lot::Mutex;

use super::draw::lines;
use super::scene::Scene;
use super::terminal;

/// Between two frames.
const FRAME: Duration = Duration::from_millis(100);
/// To the second screen, and no cursor.
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
/// Back to where the user was.
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";

/// The drawing thread. Dropped, it leaves the terminal as it was.
pub(super) struct Live {
    /// Its end tells the thread to stop.
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Live {
    /// `None` if there is no thread to be had: then there are lines.
    pub(super) fn start(scene: Arc<Mutex<Scene>>) -> Option<Live> {
        let (stop, stopped) = mpsc::channel();
        let bars = terminal::bars();
        let draw = move || {
            while stopped.recv_timeout(FRAME) == Err(RecvTimeoutError::Timeout) {
                let (width, height) = terminal::size().unwrap_or((80, 24));
                let mut scene = scene.lock();
                scene.look();
                let lines = lines(&scene, bars, width, height);
                drop(scene);
                write(&frame(&lines));
            }
        };
        let thread = thread::Builder::new().name("view".to_owned()).spawn(draw).ok()?;
        // A panic is told on the screen where it can still be read afterwards.
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            write(LEAVE);
            before(panic);
        }));
        write(ENTER);
        Some(Live { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // Its panic was told by the hook.
            let _ = thread.join();
        }
        write(LEAVE);
        if !thread::panicking() {
            // The hook has nothing left to restore.
            drop(std::panic::take_hook());
        }
    }
}

/// Everything from the top, each line to its end: nothing flickers, and a resized terminal is right at once.
fn frame(lines: &[String]) -> String {
    let mut frame = String::from("\x1b[H");
    for (at, line) in lines.iter().enumerate() {
        // Writing into a String can't fail.
        let _ = write!(frame, "{}{line}\x1b[K", if at == 0 { "" } else { "\r\n" });
    }
    frame + "\x1b[J"
}

/// The terminal may be gone; the verdict does not depend on it.
fn write(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes());
    let _ = out.flush();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_replaces_the_one_before_wholly() {
        let frame = frame(&["one".to_owned(), "two".to_owned()]);
        assert_eq!(frame, "\x1b[Hone\x1b[K\r\ntwo\x1b[K\x1b[J");
    }
}
