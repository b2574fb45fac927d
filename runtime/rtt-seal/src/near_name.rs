//! The name that a misspelt one was probably meant to be, for every message that says "did you mean".

use strsim::osa_distance;

/// Characters of a name that are compared: input may be of any length, names are not.
const COMPARED: usize = 64;

/// The one of `known` that is fewest edits (insert, drop, change, swap of neighbours) away from `name`, where these are
/// at most a third of the longer of both; else the one that `name`, of three characters or more, is the beginning of.
pub fn near_name<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let short = |text: &str| text.chars().take(COMPARED).collect::<String>();
    let wanted = short(name);
    let edits = |other: &str| osa_distance(&wanted, &short(other));
    let limit = |other: &str| (wanted.chars().count().max(other.chars().count()) / 3).max(1);
    let begins = |other: &str| wanted.len() > 2 && other.starts_with(&wanted);
    let close = known.into_iter().filter(|other| edits(other) <= limit(other) || begins(other));
    close.min_by_key(|other| (edits(other), *other))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typo_finds_its_name_and_an_unlike_word_finds_nothing() {
        let known = ["burst", "busy", "ping_pong", "steady"];
        for (name, expected) in [
            ("stedy", Some("steady")),
            ("tsedy", Some("steady")),
            ("pingpong", Some("ping_pong")),
            ("pin", Some("ping_pong")),
            ("bursts", Some("burst")),
            ("x", None),
            ("", None),
            ("everything", None),
        ] {
            assert_eq!(near_name(name, known), expected, "{name}");
        }
        assert_eq!(near_name(&"s".repeat(1 << 20), known), None, "and takes no time");
    }
}
