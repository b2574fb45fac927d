//! What test programs print: passed on as it comes, and read for two kinds of lines.
//!
//! libtest has no outcome for a test that cannot run here, and it swallows what a passing test prints. So such a test
//! writes `skipped: reason; how to get it` past it, straight to stderr. These lines are gathered here, and so are the
//! counts in the `test result:` lines on stdout, since cargo is content when no test ran at all.

use std::collections::BTreeMap;
use std::env;
use std::io::{IsTerminal, Read, stderr};
use std::process::{Command, Stdio};
use std::thread;

use crate::exit::Stop;
use crate::screen::{pass_to_stderr, pass_to_stdout};
use crate::workspace::{code, shown, start};

/// What was read so far, of one program or several.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transcript {
    /// Why tests were skipped, with how often each reason was given.
    skips: BTreeMap<String, usize>,
    /// How many tests ran; `None` while no program has said so, as one that only lists its tests.
    ran: Option<u64>,
}

impl Transcript {
    /// Prints and runs a command, and returns its exit code (128 + signal when a signal ended it, as in a shell).
    ///
    /// # Errors
    /// A stop when the program cannot be started.
    pub fn run(&mut self, command: &mut Command) -> Result<u8, Stop> {
        self.run_to(command, pass_to_stdout, pass_to_stderr)
    }

    fn run_to(
        &mut self,
        command: &mut Command,
        out: impl FnMut(&[u8]),
        err: impl FnMut(&[u8]) + Send,
    ) -> Result<u8, Stop> {
        // Cargo sees a pipe instead of the terminal behind it.
        if wants_colours(stderr().is_terminal()) && env::var_os("CARGO_TERM_COLOR").is_none() {
            command.env("CARGO_TERM_COLOR", "always");
        }
        let mut child = start(command.stdout(Stdio::piped()).stderr(Stdio::piped()))?;
        let streams = (child.stdout.take(), child.stderr.take());
        let (Some(child_out), Some(child_err)) = streams else { unreachable!("both streams are piped") };
        let Transcript { skips, ran } = self;
        thread::scope(|scope| {
            scope.spawn(|| pass_on(child_err, err, |line| note_skip(skips, line)));
            pass_on(child_out, out, |line| note_ran(ran, line));
        });
        let status = child.wait().map_err(|error| Stop::unexpected(format!("{}: {error}", shown(command))))?;
        Ok(code(status))
    }

    /// What `lines` say, whichever stream they came on.
    #[cfg(test)]
    pub fn of(lines: &str) -> Transcript {
        let mut transcript = Transcript::default();
        for line in lines.lines() {
            note_skip(&mut transcript.skips, line);
            note_ran(&mut transcript.ran, line);
        }
        transcript
    }

    /// True when programs counted their tests and ran none.
    pub fn ran_nothing(&self) -> bool {
        self.ran == Some(0)
    }

    /// Why tests were skipped, each reason once.
    pub fn skips(&self) -> impl Iterator<Item = &str> {
        self.skips.keys().map(String::as_str)
    }

    /// `N skipped:` with each reason once; empty when nothing was skipped.
    pub fn summary(&self) -> String {
        let count: usize = self.skips.values().sum();
        let lines = self.skips.iter().map(|(reason, times)| match times {
            1 => format!("  {reason}\n"),
            _ => format!("  {reason} ({times} times)\n"),
        });
        if count == 0 { String::new() } else { format!("{count} skipped:\n{}", lines.collect::<String>()) }
    }
}

/// What a child would choose by itself if it wrote to our terminal.
pub fn wants_colours(is_terminal: bool) -> bool {
    is_terminal && env::var_os("NO_COLOR").is_none() && env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// Hands bytes on as they come, since a test that hangs has printed half a line, and each whole line to `read`.
fn pass_on(mut from: impl Read, mut to: impl FnMut(&[u8]), mut read: impl FnMut(&str)) {
    let mut chunk = [0; 8192];
    let mut line = Vec::new();
    // A pipe has no errors that another attempt would mend.
    while let Ok(count @ 1..) = from.read(&mut chunk) {
        to(&chunk[..count]);
        line.extend_from_slice(&chunk[..count]);
        while let Some(end) = line.iter().position(|byte| *byte == b'\n') {
            read(&String::from_utf8_lossy(&line[..end]));
            line.drain(..=end);
        }
    }
    if !line.is_empty() {
        read(&String::from_utf8_lossy(&line));
    }
}

fn note_skip(skips: &mut BTreeMap<String, usize>, line: &str) {
    let Some((before, reason)) = line.split_once("skipped: ") else { return };
    // With --nocapture libtest's half line `test name ... ` may stand before it.
    if before.is_empty() || (before.starts_with("test ") && before.ends_with(" ... ")) {
        *skips.entry(reason.trim_end().to_owned()).or_default() += 1;
    }
}

fn note_ran(ran: &mut Option<u64>, line: &str) {
    if let Some(more) = ran_in(line) {
        *ran = Some(ran.unwrap_or(0) + more);
    }
}

/// How many tests ran, in `test result: ok. 3 passed; 1 failed; 0 ignored; 0 measured; 9 filtered out; finished in 1s`.
fn ran_in(line: &str) -> Option<u64> {
    let (_, counts) = line.split_once("test result: ")?;
    let ran = counts.split(['.', ';']).filter_map(|part| match part.trim().split_once(' ') {
        Some((count, "passed" | "failed" | "measured")) => count.parse::<u64>().ok(),
        _ => None,
    });
    Some(ran.sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a script, and returns its exit code and both of its streams.
    fn run(transcript: &mut Transcript, script: &str) -> (u8, String, String) {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut command = Command::new("sh");
        let to_err = |bytes: &[u8]| err.extend_from_slice(bytes);
        let code = transcript.run_to(command.args(["-c", script]), |bytes| out.extend_from_slice(bytes), to_err);
        (code.unwrap(), String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
    }

    #[test]
    fn both_streams_pass_and_are_read() {
        let mut transcript = Transcript::default();
        let script = "echo 'skipped: no x; get x' >&2; printf 'test result: ok. 2 passed; 0 failed;\\nend'; exit 7";
        let expected = (7, "test result: ok. 2 passed; 0 failed;\nend".into(), "skipped: no x; get x\n".into());
        assert_eq!(run(&mut transcript, script), expected);
        assert_eq!(transcript.ran, Some(2));
        run(
            &mut transcript,
            "echo 'test result: FAILED. 1 passed; 3 failed;'; echo 'skipped: no x; get x' >&2; exit 1",
        );
        assert_eq!(transcript.ran, Some(6));
        assert_eq!(transcript.summary(), "2 skipped:\n  no x; get x (2 times)\n");
    }

    #[test]
    fn half_a_line_passes_before_its_end() {
        /// Bytes that come one at a time.
        struct Trickle(&'static [u8]);
        impl Read for Trickle {
            fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
                let count = self.0.len().min(1);
                into[..count].copy_from_slice(&self.0[..count]);
                self.0 = &self.0[count..];
                Ok(count)
            }
        }
        let (mut shown, mut lines) = (Vec::new(), Vec::new());
        let line = |line: &str| lines.push(line.to_owned());
        pass_on(Trickle(b"ab\n\nc"), |bytes| shown.push(bytes.to_vec()), line);
        assert_eq!(shown, [b"a", b"b", b"\n", b"\n", b"c"]);
        assert_eq!(lines, ["ab", "", "c"]);
    }

    fn check_skip(line: &str, expected: Option<&str>) {
        let mut skips = BTreeMap::new();
        note_skip(&mut skips, line);
        assert_eq!(skips.keys().next().map(String::as_str), expected, "{line}");
    }

    #[test]
    fn a_skip_is_a_line_of_its_own_or_follows_a_tests_name() {
        check_skip("skipped: no x; get x", Some("no x; get x"));
        check_skip("test a::b ... skipped: no x; get x", Some("no x; get x"));
        check_skip("3 files skipped: too old", None);
        check_skip("test a::b ... ok", None);
    }

    fn check_ran(line: &str, expected: Option<u64>) {
        assert_eq!(ran_in(line), expected, "{line}");
    }

    #[test]
    fn tests_that_ran_are_counted_and_those_filtered_out_are_not() {
        let rest = "0 ignored; 2 measured; 9 filtered out; finished in 3.41s";
        check_ran(&format!("test result: ok. 3 passed; 0 failed; {rest}"), Some(5));
        check_ran("test result: \u{1b}[32mok\u{1b}(B\u{1b}[m. 3 passed; 1 failed; 0 ignored", Some(4));
        check_ran("test result: ok. 0 passed; 0 failed; 4 ignored; 0 measured; 9 filtered out", Some(0));
        check_ran("test a::result ... ok", None);
    }

    #[test]
    fn nothing_ran_only_where_tests_were_counted() {
        let (none, some) = ("test result: ok. 0 passed; 0 failed;", "test result: ok. 1 passed; 0 failed;");
        assert!(!Transcript::default().ran_nothing());
        assert!(!Transcript::of("a: test").ran_nothing());
        assert!(Transcript::of(&format!("{none}\n{none}")).ran_nothing());
        assert!(!Transcript::of(&format!("{none}\n{some}\n{none}")).ran_nothing());
    }
}
