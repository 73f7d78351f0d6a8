//! How are numbers and times of a server's answer said to people?

/// With a comma between thousands.
pub(crate) use bellwether_sim::show::whole as number;
use serde_json::Value;

/// Milliseconds as people say them.
pub(crate) fn time(ms: &Value) -> String {
    let Some(ms) = ms.as_u64() else { return "unknown".to_owned() };
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..120_000 => format!("{}.{} s", ms / 1_000, ms % 1_000 / 100),
        120_000..7_200_000 => format!("{} min {} s", ms / 60_000, ms % 60_000 / 1_000),
        7_200_000..172_800_000 => format!("{} h {} min", ms / 3_600_000, ms % 3_600_000 / 60_000),
        _ => format!("{} d {} h", ms / 86_400_000, ms % 86_400_000 / 3_600_000),
    }
}

/// So many of them, by the word for one: "1 key", "2 keys".
pub(crate) fn counted(n: u64, one: &str) -> String {
    format!("{n} {one}{}", if n == 1 { "" } else { "s" })
}
