//! Did the configuration's file change? Its directory is watched, because editors and Kubernetes put
//! another file or link in its place; and it is looked at now and then, in case nothing was told.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout_at};

/// A file is read once nothing in its directory has moved for so long: it may be written in pieces.
const QUIET: Duration = Duration::from_millis(100);
/// A directory in which something always moves (a database's) is not waited for longer than this.
const LONGEST: Duration = Duration::from_secs(1);
/// Some file systems tell nothing, and links can lead through any directory.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// Links behind one another, as many as Linux follows.
const MOST_LINKS: usize = 40;

/// Which file it is and in which state, all links followed; `None` if there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stamp(Option<[i64; 7]>);

impl Stamp {
    pub(super) fn of(path: &Path) -> Stamp {
        let of = |file: fs::Metadata| {
            let id = [file.dev().cast_signed(), file.ino().cast_signed(), file.size().cast_signed()];
            let [dev, ino, size] = id;
            [dev, ino, size, file.mtime(), file.mtime_nsec(), file.ctime(), file.ctime_nsec()]
        };
        // What can't be looked at can't be read either; the reload will say why.
        Stamp(fs::metadata(path).ok().map(of))
    }
}

/// Looks after one file.
pub(super) struct Watch {
    path: PathBuf,
    seen: Stamp,
    /// However much is told, it is one permit: nothing queues up.
    moved: Arc<Notify>,
    /// `None` if the system has none for us: then the looks must do.
    watcher: Option<RecommendedWatcher>,
    /// Directories that are watched, and which ones they were: another may take one's name.
    watched: BTreeMap<PathBuf, Stamp>,
}

impl Watch {
    /// `seen` is the file's stamp from before it was last read.
    pub(super) fn start(path: &Path, seen: Stamp) -> Watch {
        let moved = Arc::new(Notify::new());
        let told = moved.clone();
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // Reading is no change; an error may hide one.
            if !event.is_ok_and(|event| event.kind.is_access()) {
                told.notify_one();
            }
        });
        let watcher = watcher.inspect_err(|error| {
            tracing::warn!(%error, "changes are not told by the system: looking every {} s", LOOK_EVERY.as_secs());
        });
        let mut watch = Watch { path: path.to_owned(), seen, moved, watcher: watcher.ok(), watched: BTreeMap::new() };
        watch.watch_directories();
        watch
    }

    /// Resolves when the file is not what it was when it was last looked at.
    pub(super) async fn changed(&mut self) {
        loop {
            tokio::select! {
                () = self.moved.notified() => self.calm().await,
                () = sleep(LOOK_EVERY) => {}
            }
            self.watch_directories();
            if self.look() {
                return;
            }
        }
    }

    /// Takes note of the file as it is now, before it is read. True if it is another.
    pub(super) fn look(&mut self) -> bool {
        let now = Stamp::of(&self.path);
        let changed = now != self.seen;
        self.seen = now;
        changed
    }

    async fn calm(&self) {
        let longest = Instant::now() + LONGEST;
        loop {
            let quiet = (Instant::now() + QUIET).min(longest);
            if timeout_at(quiet, self.moved.notified()).await.is_err() || Instant::now() >= longest {
                return;
            }
        }
    }

    fn watch_directories(&mut self) {
        let Some(watcher) = &mut self.watcher else { return };
        let wanted: BTreeMap<PathBuf, Stamp> = directories(&self.path)
            .into_iter()
            .map(|path| {
                let which = identity(&path);
                (path, which)
            })
            .collect();
        for path in self.watched.keys().filter(|path| wanted.get(*path) != self.watched.get(*path)) {
            // It may have gone with its directory.
            let _ = watcher.unwatch(path);
        }
        let mut watched = BTreeMap::new();
        for (path, which) in wanted {
            let known = self.watched.get(&path) == Some(&which);
            // What can't be watched is tried again at the next look.
            if known || watcher.watch(&path, RecursiveMode::NonRecursive).is_ok() {
                watched.insert(path, which);
            }
        }
        self.watched = watched;
    }
}

/// Which directory it is, whatever happens in it.
fn identity(path: &Path) -> Stamp {
    let of = |file: fs::Metadata| [file.dev().cast_signed(), file.ino().cast_signed(), 0, 0, 0, 0, 0];
    Stamp(fs::metadata(path).ok().map(of))
}

/// Where a change of the file can show: its directory, and that of each link on the way to it. Each
/// under one name: the system watches a directory once, and an end under one name would end it for all.
fn directories(path: &Path) -> BTreeSet<PathBuf> {
    let parent = |path: &Path| match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => PathBuf::from("."),
        Some(parent) => parent.to_owned(),
        None => path.to_owned(),
    };
    let mut found = vec![parent(path)];
    let mut at = path.to_owned();
    for _ in 0..MOST_LINKS {
        let Ok(target) = fs::read_link(&at) else { break };
        at = parent(&at).join(target);
        found.push(parent(&at));
    }
    found.extend(fs::canonicalize(path).ok().map(|real| parent(&real)));
    found.iter().filter_map(|directory| fs::canonicalize(directory).ok()).filter(|real| real.is_dir()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    const LIMIT: Duration = Duration::from_secs(8);

    async fn noticed(watch: &mut Watch) -> bool {
        tokio::time::timeout(LIMIT, watch.changed()).await.is_ok()
    }

    fn watching(path: &Path) -> Watch {
        Watch::start(path, Stamp::of(path))
    }

    #[tokio::test]
    async fn a_file_written_in_place_or_replaced_by_a_rename_is_noticed() {
        let home = tempfile::tempdir().expect("a directory");
        let path = home.path().join("b.toml");
        fs::write(&path, "1").expect("written");
        let mut watch = watching(&path);
        fs::write(&path, "22").expect("written");
        assert!(noticed(&mut watch).await, "in place");
        fs::write(home.path().join("b.toml~"), "333").expect("written");
        fs::rename(home.path().join("b.toml~"), &path).expect("renamed");
        assert!(noticed(&mut watch).await, "by a rename");
        fs::write(&path, "4444").expect("written");
        assert!(noticed(&mut watch).await, "the new file in place");
    }

    #[tokio::test]
    async fn links_that_are_swapped_as_kubernetes_does_are_noticed() {
        let home = tempfile::tempdir().expect("a directory");
        for (version, text) in [("..1", "1"), ("..2", "22"), ("..3", "333")] {
            fs::create_dir(home.path().join(version)).expect("made");
            fs::write(home.path().join(version).join("b.toml"), text).expect("written");
        }
        symlink("..1", home.path().join("..data")).expect("linked");
        let path = home.path().join("b.toml");
        symlink("..data/b.toml", &path).expect("linked");
        let mut watch = watching(&path);
        for version in ["..2", "..3"] {
            symlink(version, home.path().join("..data_tmp")).expect("linked");
            fs::rename(home.path().join("..data_tmp"), home.path().join("..data")).expect("renamed");
            assert!(noticed(&mut watch).await, "{version}");
        }
        assert_eq!(fs::read_to_string(&path).expect("read"), "333");
    }

    #[tokio::test]
    async fn a_file_behind_a_link_into_another_directory_is_noticed() {
        let (home, away) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
        let (path, real) = (home.path().join("b.toml"), away.path().join("real.toml"));
        fs::write(&real, "1").expect("written");
        symlink(&real, &path).expect("linked");
        let mut watch = watching(&path);
        fs::write(&real, "22").expect("written");
        assert!(noticed(&mut watch).await);
    }

    #[tokio::test]
    async fn a_file_that_goes_and_comes_back_is_noticed_whatever_its_directory_is_called() {
        let home = tempfile::tempdir().expect("a directory");
        fs::create_dir(home.path().join("real")).expect("made");
        symlink("real", home.path().join("link")).expect("linked");
        let path = home.path().join("link/b.toml");
        fs::write(&path, "1").expect("written");
        let mut watch = watching(&path);
        for _ in 0..2 {
            fs::remove_file(&path).expect("removed");
            assert!(noticed(&mut watch).await, "gone");
            fs::write(&path, "1").expect("written");
            assert!(noticed(&mut watch).await, "back");
        }
    }

    #[tokio::test]
    async fn what_moves_beside_the_file_is_no_change_and_does_not_hide_one() {
        let home = tempfile::tempdir().expect("a directory");
        let path = home.path().join("b.toml");
        fs::write(&path, "1").expect("written");
        let mut watch = watching(&path);
        let database = home.path().join("shop.db");
        let busy = async {
            for n in 0..200u32 {
                fs::write(&database, n.to_string()).expect("written");
                sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::select! {
            () = watch.changed() => panic!("the file is as it was"),
            () = busy => {}
        }
        let always_busy = async {
            fs::write(&path, "22").expect("written");
            loop {
                fs::write(&database, "x").expect("written");
                sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::select! {
            noticed = noticed(&mut watch) => assert!(noticed),
            () = always_busy => {}
        }
    }

    #[tokio::test]
    async fn a_change_from_before_the_watch_began_is_noticed() {
        let home = tempfile::tempdir().expect("a directory");
        let path = home.path().join("b.toml");
        fs::write(&path, "1").expect("written");
        let first = Stamp::of(&path);
        fs::write(&path, "22").expect("written");
        let mut watch = Watch::start(&path, first);
        // Nothing moves any more: the look alone tells.
        assert!(tokio::time::timeout(LOOK_EVERY * 2, watch.changed()).await.is_ok());
    }
}
