//! Which crate may link which: normal and build dependencies point strictly downward, and the heavy crates of others
//! stay in the one crate that is there for them, tests included.
//!
//! The layers are those in the table of ARCHITECTURE.md, and those of crates to come; a difference is a finding. A
//! crate that is not among them has no place yet, which is a finding too.

use super::Finding;
use super::tree::Tree;
use crate::metadata::{Member, Packages};

const LAYERS: [(&str, u8); 23] = [
    ("rtt-units", 0),
    ("rtt-seal", 0),
    ("rtt-model", 0),
    ("rtt-ring", 1),
    ("rtt-profile", 1),
    ("rtt-store", 1),
    ("rtt-telemetry", 1),
    ("rtt-host", 2),
    ("rtt-scenario", 2),
    ("rtt-measure", 2),
    ("rtt-plan", 2),
    ("rtt-vfs", 3),
    ("rtt-connector", 3),
    ("rtt-reconcile", 3),
    ("rtt-runtime", 4),
    ("rtt-lab", STAGE),
    ("rtt-tuner", STAGE),
    ("rtt-report", STAGE),
    ("rtt-history", STAGE),
    ("rtt-gate", STAGE),
    ("rtt-planner", STAGE),
    ("rtt-sim", STAGE),
    ("xtask", COMMANDS),
];

/// Stages are programs: they exchange files and lines, and never link each other.
const STAGE: u8 = 5;
/// The commands link no part of the product at all.
const COMMANDS: u8 = 6;
/// Crates that one stage alone may link, because that stage drives the real thing.
const RESERVED: [(&str, &str); 3] =
    [("rtt-runtime", "rtt-lab"), ("rtt-store", "rtt-sim"), ("rtt-reconcile", "rtt-sim")];
/// Families of crates that take minutes to build or want a system library, and the crate that alone may link them.
const HEAVY: [(&str, &str); 2] = [("polars", "rtt-history"), ("hwlocality", "rtt-host")];
/// The page whose table a person reads.
const MAP: &str = "ARCHITECTURE.md";

/// Finds links that do not point downward, heavy crates out of place, and layers that the map tells otherwise.
pub fn check(tree: &Tree, packages: &Packages, findings: &mut Vec<Finding>) {
    check_map(tree, packages, findings);
    let is_member = |name: &str| packages.members.iter().any(|member| member.name == name);
    for member in &packages.members {
        let mut push = |about: &str, message: String| {
            let file = member.manifest.to_string_lossy().into_owned();
            let line = line_of(tree.text(&file).unwrap_or_default(), about);
            findings.push(Finding { file, line, rule: "layers", message });
        };
        let Some(layer) = layer(&member.name) else {
            push(&member.name, format!("crate {} has no layer: add it to the table of xtask's tidy", member.name));
            continue;
        };
        for link in member.links.iter().filter(|link| is_member(link)) {
            if let Some(message) = forbidden(member, layer, link) {
                push(link, message);
            }
        }
        for link in member.links.iter().chain(&member.test_links) {
            if let Some(only) = heavy(link).filter(|only| *only != member.name) {
                push(link, format!("{} links {link}, which is heavy: only {only} does", member.name));
            }
        }
    }
}

/// The crate that alone may link `link`, if it is heavy.
fn heavy(link: &str) -> Option<&'static str> {
    let is_of = |family: &str| link.strip_prefix(family).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'));
    HEAVY.iter().find(|(family, _)| is_of(family)).map(|(_, only)| *only)
}

/// Compares the map's table with the layers above, both ways. Whether there is a map is another rule's question.
fn check_map(tree: &Tree, packages: &Packages, findings: &mut Vec<Finding>) {
    let Some(map) = tree.text(MAP) else { return };
    let mut push = |line: usize, message: String| {
        findings.push(Finding { file: MAP.to_owned(), line, rule: "layers", message });
    };
    let rows = rows(map);
    for (line, name, told) in &rows {
        match layer(name) {
            None => push(*line, format!("crate {name} has no layer in the table of xtask's tidy")),
            Some(own) if *told != own.to_string() => {
                push(
                    *line,
                    format!("crate {name} is told to be in layer {told}; in xtask's tidy it is in layer {own}"),
                );
            }
            Some(_) => {}
        }
    }
    for member in packages.members.iter().filter(|member| rows.iter().all(|(_, name, _)| *name != member.name)) {
        push(1, format!("the table of crates has no row for {}", member.name));
    }
}

/// Line, crate and layer of each row of the table `| folder | crate | L | ...` that has a crate.
fn rows(map: &str) -> Vec<(usize, &str, &str)> {
    let numbered = map.lines().enumerate().map(|(index, line)| (index + 1, crate_and_layer(line)));
    let table = numbered.skip_while(|(_, cells)| *cells != Some(("crate", "L"))).skip(2);
    let rows = table.map_while(|(line, cells)| cells.map(|(name, told)| (line, name, told)));
    rows.filter(|(_, name, _)| !name.is_empty()).collect()
}

/// The second and the third cell of a table's line.
fn crate_and_layer(line: &str) -> Option<(&str, &str)> {
    let mut cells = line.strip_prefix('|')?.split('|').map(|cell| cell.trim().trim_matches('`')).skip(1);
    Some((cells.next()?, cells.next()?))
}

/// Why `member` may not link `link`, if it may not.
fn forbidden(member: &Member, own: u8, link: &str) -> Option<String> {
    let name = &member.name;
    // A crate without a layer is reported once, at its own manifest.
    let other = layer(link)?;
    if own == COMMANDS {
        return Some(format!("{name} links {link}: the commands build and start the product, they link none of it"));
    }
    if other >= own {
        return Some(format!("{name} (layer {own}) links {link} (layer {other}): links point strictly downward"));
    }
    let only = RESERVED.iter().find(|(reserved, _)| *reserved == link).map(|(_, only)| *only)?;
    (own == STAGE && name != only)
        .then(|| format!("{name} links {link}: of the stages only {only} does, the others exchange files"))
}

fn layer(name: &str) -> Option<u8> {
    LAYERS.iter().find(|(each, _)| *each == name).map(|(_, layer)| *layer)
}

/// The line (from 1) of a manifest that is about a package.
fn line_of(manifest: &str, name: &str) -> usize {
    let is_about = |line: &str| {
        line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '.', '=']))
            || line == format!("name = \"{name}\"")
    };
    manifest.lines().position(is_about).map_or(1, |index| index + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_links(name: &str, links: &[&str], expected: Option<&str>) {
        let member = |name: &str, links: &[&str]| Member {
            name: name.to_owned(),
            manifest: format!("{name}/Cargo.toml").into(),
            links: links.iter().map(|link| (*link).to_owned()).collect(),
            ..Member::default()
        };
        let mut members: Vec<Member> = LAYERS.iter().map(|(each, _)| member(each, &[])).collect();
        members.retain(|each| each.name != name);
        members.push(member(name, links));
        let manifest =
            format!("[package]\nname = \"{name}\"\n{}.workspace = true\n", links.join(".workspace = true\n"));
        let tree = Tree::of(&[(&format!("{name}/Cargo.toml"), &manifest)]);
        let mut findings = Vec::new();
        check(&tree, &Packages { members, ..Packages::default() }, &mut findings);
        let got: Vec<String> = findings.iter().map(|each| format!("{}: {}", each.line, each.message)).collect();
        assert_eq!(got, expected.into_iter().collect::<Vec<_>>(), "{name} links {links:?}");
    }

    #[test]
    fn links_downward_pass() {
        check_links("rtt-ring", &["rtt-units", "thiserror"], None);
        check_links("rtt-lab", &["rtt-measure", "rtt-runtime"], None);
        check_links("rtt-sim", &["rtt-store", "rtt-reconcile"], None);
        check_links("rtt-runtime", &["rtt-store"], None);
        check_links("xtask", &["serde_json"], None);
    }

    #[test]
    fn links_upward_sideways_and_between_stages_do_not() {
        let text = "4: rtt-host (layer 2) links rtt-measure (layer 2): links point strictly downward";
        check_links("rtt-host", &["rtt-units", "rtt-measure"], Some(text));
        let text = "3: rtt-units (layer 0) links rtt-ring (layer 1): links point strictly downward";
        check_links("rtt-units", &["rtt-ring"], Some(text));
        let text = "3: rtt-tuner (layer 5) links rtt-lab (layer 5): links point strictly downward";
        check_links("rtt-tuner", &["rtt-lab"], Some(text));
    }

    #[test]
    fn what_one_stage_drives_no_other_links() {
        let text = "3: rtt-tuner links rtt-runtime: of the stages only rtt-lab does, the others exchange files";
        check_links("rtt-tuner", &["rtt-runtime"], Some(text));
        let text = "3: rtt-lab links rtt-store: of the stages only rtt-sim does, the others exchange files";
        check_links("rtt-lab", &["rtt-store"], Some(text));
        let text = "3: xtask links rtt-units: the commands build and start the product, they link none of it";
        check_links("xtask", &["rtt-units"], Some(text));
    }

    #[test]
    fn heavy_crates_stay_where_they_are_wanted() {
        check_links("rtt-history", &["polars", "polars-io"], None);
        check_links("rtt-host", &["hwlocality"], None);
        check_links("rtt-report", &["polaris", "hwlocal"], None);
        let text = "3: rtt-report links polars-io, which is heavy: only rtt-history does";
        check_links("rtt-report", &["polars-io"], Some(text));
        let text = "3: rtt-lab links hwlocality, which is heavy: only rtt-host does";
        check_links("rtt-lab", &["hwlocality"], Some(text));
    }

    #[test]
    fn heavy_crates_stay_out_of_tests_too() {
        let member = Member { name: "rtt-tuner".into(), test_links: vec!["polars".into()], ..Member::default() };
        let mut findings = Vec::new();
        check(&Tree::of(&[]), &Packages { members: vec![member], ..Packages::default() }, &mut findings);
        assert_eq!(findings.len(), 1, "{findings:?}");
    }

    fn check_map_rows(rows: &str, expected: &[&str]) {
        let map = format!("# Map\n| a | b | c |\n\n| folder | crate | L | why |\n|---|---|---|---|\n{rows}");
        let member = |name: &str| Member { name: name.into(), ..Member::default() };
        let members = vec![member("rtt-ring"), member("xtask")];
        let mut findings = Vec::new();
        check(&Tree::of(&[(MAP, &map)]), &Packages { members, ..Packages::default() }, &mut findings);
        let got: Vec<String> = findings.iter().map(|each| format!("{}: {}", each.line, each.message)).collect();
        assert_eq!(got, expected, "{rows}");
    }

    #[test]
    fn the_map_tells_the_layers_that_are_checked() {
        let (ring, xtask) = ("| `runtime/` | `rtt-ring` | 1 | U |\n", "| | `xtask` | 6 | X |\n");
        check_map_rows(&format!("{ring}| `spec/` | | | |\n{xtask}\n| | `rtt-late` | 1 |\n"), &[]);
        let raised = ring.replace("| 1 |", "| 2 |");
        let text = "6: crate rtt-ring is told to be in layer 2; in xtask's tidy it is in layer 1";
        check_map_rows(&format!("{raised}{xtask}"), &[text]);
        let odd = "| | `rtt-odd` | 1 | C |\n";
        let text = "8: crate rtt-odd has no layer in the table of xtask's tidy";
        check_map_rows(&format!("{ring}{xtask}{odd}"), &[text]);
        check_map_rows(xtask, &["1: the table of crates has no row for rtt-ring"]);
    }

    #[test]
    fn a_crate_without_a_layer_is_found() {
        check_links("rtt-odd", &[], Some("2: crate rtt-odd has no layer: add it to the table of xtask's tidy"));
    }
}
