//! The `cue` program: the evaluator that the locks are made with. Runs it, and knows nothing of what it evaluates.
//!
//! Only somebody who edits a `.cue` file needs it. `cargo xtask config` builds it from the pin in `spec/cue` where Go
//! 1.24 or later is present.

use std::{
    env, io,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

/// Where `cargo xtask config` puts the pinned program, from the root.
const BUILT: &str = "target/cue";

/// A `cue` program.
#[derive(Clone, Debug)]
pub struct Cue {
    program: PathBuf,
}

/// Why `cue` gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum CueError {
    /// There is no such program.
    #[error(
        "no `cue`, neither {BUILT} nor on PATH: install Go 1.24 or later and run `cargo xtask config check`, which builds it"
    )]
    NotFound,
    /// The program cannot be started.
    #[error("{}: cannot be started, expected the `cue` program; nothing was run", program.display())]
    Start {
        /// The program.
        program: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The sources are refused. The message is the program's own and names file and line.
    #[error("{message}\n`cue export` refused the sources; nothing was run")]
    Refused {
        /// Standard error of the program.
        message: String,
    },
    /// The program died.
    #[error("{}: ended with {status}, expected 0 or 1; nothing was run", program.display())]
    Died {
        /// The program.
        program: PathBuf,
        /// How.
        status: std::process::ExitStatus,
    },
}

impl Cue {
    /// The program at `program`.
    pub fn at(program: &Path) -> Cue {
        // Runs start in the root, so a relative path would change its meaning. A bare name is looked up on PATH.
        let bare = program.components().count() == 1;
        let absolute = std::path::absolute(program).ok().filter(|_| !bare);
        Cue { program: absolute.unwrap_or_else(|| program.to_owned()) }
    }

    /// The pinned program if it was built, else the one on PATH.
    ///
    /// # Errors
    /// [`CueError::NotFound`].
    pub fn find(root: &Path) -> Result<Cue, CueError> {
        let built = root.join(BUILT);
        let on_path = || env::split_paths(&env::var_os("PATH")?).map(|dir| dir.join("cue")).find(|file| file.is_file());
        let program = if built.is_file() { Some(built) } else { on_path() };
        program.map(|program| Cue::at(&program)).ok_or(CueError::NotFound)
    }

    /// Evaluates `files` (from `root`) as one package and returns `expression` as JSON.
    ///
    /// # Errors
    /// [`CueError::Refused`] with the program's own message, or that it could not be run.
    pub fn export(&self, root: &Path, files: &[String], expression: &str) -> Result<Vec<u8>, CueError> {
        let output = self.run(root, &["export", "--out", "json", "-e", expression], files)?;
        if output.status.success() { Ok(output.stdout) } else { Err(CueError::Refused { message: message(&output) }) }
    }

    /// Whether the JSON file `data` (from `root`, like `files`) is a `definition`: `None` if so, else the program's message.
    ///
    /// # Errors
    /// That the program could not be run.
    pub fn vet(&self, root: &Path, files: &[String], definition: &str, data: &str) -> Result<Option<String>, CueError> {
        let files: Vec<String> = files.iter().cloned().chain([data.to_owned()]).collect();
        let output = self.run(root, &["vet", "-c", "-d", definition], &files)?;
        Ok(if output.status.success() { None } else { Some(message(&output)) })
    }

    /// The first line that the program says about itself.
    ///
    /// # Errors
    /// That the program could not be run.
    pub fn version(&self) -> Result<String, CueError> {
        let output = self.run(Path::new("."), &["version"], &[])?;
        Ok(String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or_default().to_owned())
    }

    fn run(&self, root: &Path, arguments: &[&str], files: &[String]) -> Result<Output, CueError> {
        let output = Command::new(&self.program)
            .args(arguments)
            .args(files)
            .current_dir(root)
            .stdin(Stdio::null())
            .output()
            .map_err(|source| CueError::Start { program: self.program.clone(), source })?;
        match output.status.code() {
            Some(0 | 1) => Ok(output),
            _ => Err(CueError::Died { program: self.program.clone(), status: output.status }),
        }
    }
}

fn message(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let error = Cue::at(Path::new("no/such/cue")).version().expect_err("no program").to_string();
        assert!(error.contains("no/such/cue: cannot be started") && error.ends_with("nothing was run"), "{error}");
    }

    #[test]
    fn a_program_that_refuses_is_told_from_one_that_dies() {
        let files = ["-c".to_owned()];
        // `false` ends with 1 whatever it is asked, which is how `cue` refuses; `sh` does not know `export` and ends with 2 or 127.
        assert!(matches!(
            Cue::at(Path::new("false")).export(Path::new("."), &files, "x"),
            Err(CueError::Refused { .. })
        ));
        assert!(matches!(Cue::at(Path::new("sh")).export(Path::new("."), &files, "x"), Err(CueError::Died { .. })));
    }
}
