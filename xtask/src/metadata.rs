//! What `cargo metadata` says about the workspace, reduced to what the commands ask.
//!
//! [`workspace`] reads the manifests alone: no network, no lock. [`graph`] resolves the whole tree of crates that
//! are built on this platform, and so may download them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::Value;

use crate::exit::Stop;
use crate::workspace::{Workspace, output, shown};

/// The workspace's own packages.
#[derive(Clone, Debug, Default)]
pub struct Packages {
    /// The folder that cargo builds into.
    pub target: PathBuf,
    /// The members, sorted by name.
    pub members: Vec<Member>,
}

/// One member of the workspace.
#[derive(Clone, Debug, Default)]
pub struct Member {
    /// The package's name.
    pub name: String,
    /// The package's `Cargo.toml`.
    pub manifest: PathBuf,
    /// True when it has a bench target.
    pub has_benches: bool,
    /// Names of the packages it links: normal and build dependencies, as declared.
    pub links: Vec<String>,
    /// Names of the packages that only its tests and benches link.
    pub test_links: Vec<String>,
}

/// One crate of the resolved tree.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Crate {
    /// The package's name.
    pub name: String,
    /// The exact version.
    pub version: String,
    /// The SPDX expression of the manifest, when it has one.
    pub licence: Option<String>,
}

/// Reads the workspace's manifests.
///
/// # Errors
/// A stop when cargo fails or its answer has another shape than expected.
pub fn workspace(workspace: &Workspace) -> Result<Packages, Stop> {
    let document = ask(workspace, &["metadata", "--format-version", "1", "--no-deps"])?;
    let mut members = each(&document, "packages")?.map(member).collect::<Result<Vec<_>, _>>()?;
    members.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(Packages { target: text(&document, "target_directory")?.into(), members })
}

/// Every crate that is built for this platform, tests and benches of the members included, without the members.
///
/// # Errors
/// A stop when cargo fails, the lock file is stale, or the answer has another shape than expected.
pub fn graph(workspace: &Workspace) -> Result<Vec<Crate>, Stop> {
    let version = output("rustc", &["-vV"]).ok_or_else(|| Stop::unexpected("`rustc -vV` failed; is Rust on PATH?"))?;
    let host = version
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .ok_or_else(|| Stop::unexpected("`rustc -vV` names no host"))?;
    built(&ask(workspace, &["metadata", "--format-version", "1", "--locked", "--filter-platform", host])?)
}

fn ask(workspace: &Workspace, arguments: &[&str]) -> Result<Value, Stop> {
    let mut command = workspace.cargo(arguments);
    let output = command.output().map_err(|error| Stop::unexpected(format!("cannot start cargo: {error}")))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(Stop::unexpected(format!("`{}` failed:\n{}", shown(&command), said.trim())));
    }
    serde_json::from_slice(&output.stdout)
        .map_err(|error| Stop::unexpected(format!("`{}` printed no JSON: {error}", shown(&command))))
}

fn member(package: &Value) -> Result<Member, Stop> {
    let has_benches = each(package, "targets")?.any(|target| contains(&target["kind"], "bench"));
    let (mut links, mut test_links) = (Vec::new(), Vec::new());
    for dependency in each(package, "dependencies")? {
        // A dev-dependency links nothing into the product, so layers do not apply to it.
        let names = if dependency["kind"].as_str() == Some("dev") { &mut test_links } else { &mut links };
        names.push(text(dependency, "name")?.to_owned());
    }
    Ok(Member {
        name: text(package, "name")?.to_owned(),
        manifest: text(package, "manifest_path")?.into(),
        has_benches,
        links,
        test_links,
    })
}

/// Walks the resolved graph from the members. Cargo lists more packages than are built: only what is reached counts.
fn built(document: &Value) -> Result<Vec<Crate>, Stop> {
    let mut edges: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for node in each(&document["resolve"], "nodes")? {
        let targets = each(node, "deps")?.map(|dep| text(dep, "pkg")).collect::<Result<_, _>>()?;
        edges.insert(text(node, "id")?, targets);
    }
    let members: Vec<&str> = each(document, "workspace_members")?.filter_map(Value::as_str).collect();
    let mut reached: Vec<&str> = members.clone();
    let mut next = 0;
    while next < reached.len() {
        for target in edges.get(reached[next]).into_iter().flatten() {
            if !reached.contains(target) {
                reached.push(target);
            }
        }
        next += 1;
    }
    let mut crates = Vec::new();
    for package in each(document, "packages")? {
        let id = text(package, "id")?;
        if reached.contains(&id) && !members.contains(&id) {
            crates.push(Crate {
                name: text(package, "name")?.to_owned(),
                version: text(package, "version")?.to_owned(),
                licence: package["license"].as_str().map(str::to_owned),
            });
        }
    }
    crates.sort();
    Ok(crates)
}

fn each<'a>(value: &'a Value, key: &str) -> Result<impl Iterator<Item = &'a Value>, Stop> {
    let list = value[key].as_array().ok_or_else(|| shape(key, "a list"))?;
    Ok(list.iter())
}

fn text<'a>(value: &'a Value, key: &str) -> Result<&'a str, Stop> {
    value[key].as_str().ok_or_else(|| shape(key, "a string"))
}

fn shape(key: &str, expected: &str) -> Stop {
    Stop::unexpected(format!("`cargo metadata`: field `{key}` is not {expected}"))
}

fn contains(list: &Value, word: &str) -> bool {
    list.as_array().is_some_and(|words| words.iter().any(|each| each.as_str() == Some(word)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_crates_that_are_reached_count() {
        let package = |id: &str| json!({"id": id, "name": id, "version": "1.0.0", "license": "MIT"});
        let document = json!({
            "workspace_members": ["own"],
            "packages": [package("own"), package("far"), package("near"), package("lost")],
            "resolve": {"nodes": [
                {"id": "own", "deps": [{"pkg": "near"}]},
                {"id": "near", "deps": [{"pkg": "far"}]},
                {"id": "far", "deps": [{"pkg": "near"}]},
                {"id": "lost", "deps": []},
            ]},
        });
        let names: Vec<String> = built(&document).unwrap().into_iter().map(|each| each.name).collect();
        assert_eq!(names, ["far", "near"]);
    }

    #[test]
    fn a_dev_dependency_is_no_link() {
        let package = json!({
            "name": "a", "manifest_path": "/a/Cargo.toml", "targets": [{"kind": ["lib"]}, {"kind": ["bench"]}],
            "dependencies": [{"name": "x", "kind": null}, {"name": "y", "kind": "dev"}, {"name": "z", "kind": "build"}],
        });
        let member = member(&package).unwrap();
        assert_eq!((member.links, member.test_links), (vec!["x".to_owned(), "z".to_owned()], vec!["y".to_owned()]));
        assert!(member.has_benches);
    }

    #[test]
    fn another_shape_is_an_error_that_names_the_field() {
        let stop = built(&json!({})).unwrap_err();
        assert!(stop.message.contains("`nodes` is not a list"), "{}", stop.message);
    }
}
