//! Which paths of a URL mean what they say? None with an empty part, `.` or `..`: they could mean another.

/// Whether every part of `path` stands for itself, however it is written: servers take `%2e` for a dot.
pub(super) fn is_plain(path: &str) -> bool {
    let dots = |segment: &str| matches!(segment.to_ascii_lowercase().replace("%2e", ".").as_str(), "." | "..");
    !path.contains("//") && !path.split('/').any(dots)
}
