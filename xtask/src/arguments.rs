//! The command line after the command's name: flags that are ours are taken out, the rest is passed on.
//!
//! Words after `--` are never ours: they belong to the program that is started.

use crate::exit::Stop;

/// The words of one command line that nobody has claimed yet.
#[derive(Clone, Debug, Default)]
pub struct Arguments {
    words: Vec<String>,
}

impl Arguments {
    /// Takes the words that follow the command's name.
    pub fn new(words: impl IntoIterator<Item = impl Into<String>>) -> Arguments {
        Arguments { words: words.into_iter().map(Into::into).collect() }
    }

    /// True when `--help` or `-h` stands before any `--`.
    pub fn wants_help(&self) -> bool {
        self.ours().iter().any(|word| word == "--help" || word == "-h")
    }

    /// Removes every `flag` before `--` and says whether there was one.
    pub fn take_flag(&mut self, flag: &str) -> bool {
        let end = self.ours().len();
        let mut index = 0;
        let before = self.words.len();
        self.words.retain(|word| {
            index += 1;
            index > end || word != flag
        });
        self.words.len() != before
    }

    /// Removes and returns the first word when it is no flag.
    pub fn take_name(&mut self) -> Option<String> {
        match self.words.first() {
            Some(word) if !word.starts_with('-') => Some(self.words.remove(0)),
            _ => None,
        }
    }

    /// The words left, `--` included.
    pub fn words(&self) -> &[String] {
        &self.words
    }

    /// The words before `--`.
    pub fn ours(&self) -> &[String] {
        let end = self.words.iter().position(|word| word == "--").unwrap_or(self.words.len());
        &self.words[..end]
    }

    /// Refuses whatever is left.
    ///
    /// # Errors
    /// A usage stop that names the first word left and the nearest of `known`.
    pub fn finish(&self, command: &str, known: &[&str]) -> Result<(), Stop> {
        match self.words.first() {
            None => Ok(()),
            Some(word) => Err(unknown(&format!("{command}: "), "argument", word, known)),
        }
    }
}

/// The usage stop for a word that is not in `known`, with a near name where there is one.
pub fn unknown(prefix: &str, kind: &str, word: &str, known: &[&str]) -> Stop {
    let name = word.split('=').next().unwrap_or(word);
    let hint = match near_name(name, known) {
        Some(near) => format!("did you mean `{near}`?"),
        None if known.is_empty() => "it takes none".to_owned(),
        None => format!("expected one of: {}", known.join(", ")),
    };
    Stop::usage(format!("{prefix}unknown {kind} `{word}`; {hint}"))
}

/// The one of `known` that `word` was most likely meant to be: at most a third of its letters differ, or it is the
/// only one that starts like it. An exact match is its own near name.
pub fn near_name<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let starting: Vec<&&str> = known.iter().filter(|name| word.len() >= 3 && name.starts_with(word)).collect();
    if let [only] = starting[..] {
        return Some(only);
    }
    let bare = |text: &str| text.trim_start_matches('-').to_owned();
    known
        .iter()
        .map(|name| (strsim::osa_distance(&bare(word), &bare(name)), *name))
        .filter(|(distance, name)| *distance <= (bare(name).len() / 3).max(1))
        .min()
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [&str; 5] = ["tune", "test", "tidy", "doctor", "--no-install"];

    fn check_near(word: &str, expected: Option<&str>) {
        assert_eq!(near_name(word, &KNOWN), expected, "{word}");
    }

    #[test]
    fn a_typo_finds_its_name() {
        check_near("tnue", Some("tune"));
        check_near("doc", Some("doctor"));
        check_near("doktor", Some("doctor"));
        check_near("--no-instal", Some("--no-install"));
        check_near("--noinstall", Some("--no-install"));
    }

    #[test]
    fn an_unlike_word_finds_nothing() {
        check_near("deploy", None);
        check_near("t", None);
        check_near("", None);
    }

    #[test]
    fn flags_are_taken_only_before_the_double_dash() {
        let mut arguments = Arguments::new(["--json", "a", "--", "--json", "--help"]);
        assert!(!arguments.wants_help());
        assert!(arguments.take_flag("--json"));
        assert!(!arguments.take_flag("--json"));
        assert_eq!(arguments.words(), ["a", "--", "--json", "--help"]);
        assert_eq!(arguments.take_name().as_deref(), Some("a"));
        assert_eq!(arguments.take_name(), None);
    }

    #[test]
    fn a_flag_with_a_value_is_not_taken() {
        let mut arguments = Arguments::new(["--budget=5m"]);
        assert!(!arguments.take_flag("--budget"));
    }

    #[test]
    fn what_is_left_is_refused_with_a_near_name() {
        let stop = Arguments::new(["--jsno"]).finish("tidy", &["--json"]).unwrap_err();
        assert_eq!(stop.exit.code(), 2);
        assert_eq!(stop.message, "tidy: unknown argument `--jsno`; did you mean `--json`?");
        assert_eq!(Arguments::default().finish("tidy", &["--json"]), Ok(()));
    }
}
