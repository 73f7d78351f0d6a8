//! What do policies cost, in virtual time or on a recorded trace? Tables at once, files if asked for.

mod arguments;
mod files;
mod progress;
mod scenarios;
mod whatif;

pub(crate) use arguments::Arguments;

use crate::failure::Failure;

pub(crate) fn simulate(arguments: &Arguments) -> Result<(), Failure> {
    if arguments.trace.is_none() {
        let alone = arguments.of_a_trace();
        if !alone.is_empty() {
            let are = if alone.len() == 1 { "is" } else { "are" };
            let words = format!("{} {are} for a trace: expected --trace FILE, and no scenario", alone.join(", "));
            return Err(Failure::input(words));
        }
    }
    match &arguments.trace {
        Some(file) => whatif::replay(arguments, file),
        None if arguments.list || arguments.scenarios.iter().any(|word| word == "list") => scenarios::list(arguments),
        None => scenarios::run(arguments),
    }
}
