//! How does a report reach its file? Whole or not at all, and a place where it can't be is told before the work.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::failure::Failure;

/// A place for a report, tried before the work begins. An older report stays until the new one is whole, and whoever ends
/// the work leaves nothing behind.
pub(crate) struct Place {
    /// `--json` and the like, for words.
    option: &'static str,
    file: PathBuf,
    /// Where a file beside is made, which takes its place. `None`: a pipe or a device.
    folder: Option<PathBuf>,
}

/// Why a report is not there, although its place could be taken.
pub(crate) struct Unwritten(pub(crate) String);

impl From<Unwritten> for Failure {
    fn from(Unwritten(words): Unwritten) -> Failure {
        Failure::Run(words)
    }
}

impl Place {
    /// Tries the place of the report that `option` asks for, if it does.
    pub(crate) fn reserve(option: &'static str, file: Option<&PathBuf>) -> Result<Option<Place>, Failure> {
        let Some(file) = file else { return Ok(None) };
        match tried(file) {
            Ok(folder) => Ok(Some(Place { option, file: file.clone(), folder })),
            Err(error) => Err(Failure::input(unwritable(option, file, &error))),
        }
    }

    /// The name of a file that both would become, so that one would take the other's place.
    pub(crate) fn same_file(&self, other: &Place) -> Option<String> {
        let at = |place: &Place| Some(place.folder.as_ref()?.canonicalize().ok()?.join(place.file.file_name()?));
        (at(self)? == at(other)?)
            .then(|| format!("{} and {} name one file, {}", self.option, other.option, self.file.display()))
    }

    /// Writes the report. What it is made of has been shown: a failure says what is missing.
    pub(crate) fn write(self, text: &str) -> Result<(), Unwritten> {
        let Place { option, file, folder } = self;
        let written = match folder {
            Some(folder) => beside(&folder).and_then(|mut beside| {
                fill(beside.as_file_mut(), text)?;
                beside.persist(&file).map(drop).map_err(|error| error.error)
            }),
            None => File::options().write(true).open(&file).and_then(|mut out| out.write_all(text.as_bytes())),
        };
        written.map_err(|error| Unwritten(format!("{}; what was shown is whole", unwritable(option, &file, &error))))
    }
}

/// The folder in which a file beside can be made: one was, and is gone again.
fn tried(file: &Path) -> io::Result<Option<PathBuf>> {
    match fs::metadata(file) {
        Ok(there) if there.is_dir() => return Err(io::ErrorKind::IsADirectory.into()),
        Ok(there) if !there.is_file() => return File::options().write(true).open(file).map(|_| None),
        _ => {}
    }
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    beside(folder)?.close()?;
    Ok(Some(folder.to_owned()))
}

fn beside(folder: &Path) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    // A report is for whoever may look into the folder.
    builder.prefix(".bellwether-").permissions(fs::Permissions::from_mode(0o644));
    builder.tempfile_in(folder)
}

fn fill(file: &mut File, text: &str) -> io::Result<()> {
    file.write_all(text.as_bytes())?;
    // Some file systems tell only here that there is no room.
    file.sync_all()
}

fn unwritable(option: &str, file: &Path, error: &io::Error) -> String {
    // The system's words if they are its own; a wrapped error names the file beside, which nobody has asked for.
    let why = match error.kind() {
        io::ErrorKind::NotFound => "there is no such folder".to_owned(),
        kind => error.raw_os_error().map_or_else(|| kind.to_string(), |_| error.to_string()),
    };
    format!("{option} {}: the report can't be written there: {why}", file.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(failure: Failure) -> String {
        match failure {
            Failure::Run(words) => words,
            Failure::Input(lines) => lines.join("\n"),
        }
    }

    fn left(folder: &Path) -> Vec<std::ffi::OsString> {
        fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").file_name()).collect()
    }

    #[test]
    fn an_older_report_stays_until_the_new_one_is_whole() {
        let home = tempfile::tempdir().expect("a directory");
        let file = home.path().join("report.json");
        fs::write(&file, "old").expect("written");
        let place = Place::reserve("--json", Some(&file)).ok().flatten().expect("a place");
        assert_eq!(fs::read_to_string(&file).expect("a file"), "old");
        assert_eq!(left(home.path()), ["report.json"], "whoever ends the work leaves nothing behind");
        assert!(place.write("new").is_ok());
        assert_eq!((fs::read_to_string(&file).expect("a file").as_str(), left(home.path()).len()), ("new", 1));
        assert_eq!(fs::metadata(&file).expect("a file").permissions().mode() & 0o777, 0o644);
        drop(Place::reserve("--json", Some(&file)));
        assert_eq!((fs::read_to_string(&file).expect("a file").as_str(), left(home.path()).len()), ("new", 1));
        assert!(matches!(Place::reserve("--json", None), Ok(None)));
    }

    #[test]
    fn two_reports_in_one_file_are_seen_whatever_it_is_called_and_a_device_takes_both() {
        let home = tempfile::tempdir().expect("a directory");
        std::os::unix::fs::symlink(home.path(), home.path().join("again")).expect("a link");
        let place =
            |option: &'static str, file: PathBuf| Place::reserve(option, Some(&file)).ok().flatten().expect("a place");
        let json = place("--json", home.path().join("report"));
        let html = |name: &str| json.same_file(&place("--html", home.path().join(name)));
        let told = html("again/report").expect("one file");
        assert!(told.starts_with("--json and --html name one file") && told.ends_with("/report"), "{told}");
        assert_eq!((html("report").is_some(), html("report.html")), (true, None));
        let device = || place("--csv", PathBuf::from("/dev/null"));
        assert_eq!(device().same_file(&device()), None);
    }

    #[test]
    fn a_place_where_nothing_can_be_written_is_told_before_and_a_full_disk_after() {
        let home = tempfile::tempdir().expect("a directory");
        for file in [home.path().join("none/report.html"), home.path().to_path_buf()] {
            let told = words(Place::reserve("--html", Some(&file)).err().expect("no place"));
            assert!(told.contains(&format!("--html {}: the report can't be written", file.display())), "{told}");
            assert!(!told.contains(".bellwether-"), "{told}");
        }
        let full = Place::reserve("--json", Some(&PathBuf::from("/dev/full"))).ok().flatten().expect("a device");
        let told = full.write("text").expect_err("it is always full").0;
        assert!(told.contains("--json /dev/full") && told.contains("No space left"), "{told}");
    }
}
