//! How many connections may the herd open? As many as there are file descriptors for both their ends.

use bellwether_server::run::allow_open_files;

use crate::failure::Failure;

/// Not for the herd's connections: what Bellwether keeps back for itself, databases with their journals on either
/// side, runtimes, the terminal.
const RESERVED: u64 = 400;
/// Open files to ask for: beyond this more connections make no difference.
const WANTED: u64 = 32_768;
/// Connections without which the herd would be none: the crowd's 20,000 requests are 800 to each.
const LEAST: u64 = 25;

/// The most connections, with the limit of open files raised as far as the system lets us.
///
/// # Errors
/// Too few, and how many are needed.
pub(crate) fn connections() -> Result<usize, Failure> {
    within(allow_open_files(WANTED))
}

fn within(files: u64) -> Result<usize, Failure> {
    // Both ends of each are ours.
    let connections = files.saturating_sub(RESERVED) / 2;
    if connections < LEAST {
        return Err(Failure::FewFiles { files, needed: RESERVED + 2 * LEAST });
    }
    Ok(usize::try_from(connections).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_files_are_enough_for_a_smaller_herd_and_too_few_are_told_with_the_way_out() {
        assert_eq!(within(450).ok(), Some(25));
        assert_eq!(within(1_024).ok(), Some(312));
        assert!(within(32_768).is_ok_and(|connections| connections > 10_000));
        let words = within(256).expect_err("too few").to_string();
        assert!(words.contains("only 256") && words.contains("ulimit -n 450"), "{words}");
    }
}
