//! The page in a real browser: nothing wider than the screen, nothing in the console, a picture that is not empty.

use crate::gate_generator::{GateRecipe, SLOWER, make_gate};
use crate::generator::{BETTER, Recipe, make};
use rtt_measure::Outcome;
use rtt_report::{GateFolder, Run, render, render_gate};
use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::Command,
};

const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";

/// The browser, if it starts.
fn browser() -> Option<&'static str> {
    ["chromium", "chromium-browser"]
        .into_iter()
        .find(|name| Command::new(name).arg("--version").output().is_ok_and(|output| output.status.success()))
}

fn chromium(program: &str, profile: &Path, words: &[&str], page: &Path) -> (String, String) {
    let output = Command::new(program)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
        .args(["--hide-scrollbars", "--enable-logging=stderr"])
        .arg(format!("--user-data-dir={}", profile.display()))
        .args(words)
        .arg(format!("file://{}", page.display()))
        .output()
        .expect("the browser runs");
    (String::from_utf8_lossy(&output.stdout).into_owned(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// A page that shows `html` in a frame of `width` pixels and writes down how wide its content is. A window of the
/// browser cannot be narrower than 500 pixels; a frame can, and the style sheet's questions see the frame.
fn probe(html: &str, width: u32, height: u32, unfold: bool) -> String {
    // The policy that keeps scripts out would keep the probe out of the frame's document too.
    let quoted = html.replacen(POLICY, "default-src 'none'; style-src 'unsafe-inline'; script-src 'none'", 1);
    let quoted = quoted.replace('&', "&amp;").replace('"', "&quot;");
    let unfold = if unfold { "d.querySelectorAll('details').forEach(e => e.open = true);" } else { "" };
    format!(
        r#"<!DOCTYPE html><html><head><meta charset="utf-8"/><style>body{{margin:0}}iframe{{border:0;display:block}}</style></head><body><iframe id="f" width="{width}" height="{height}" srcdoc="{quoted}"></iframe><pre id="out"></pre><script>
document.getElementById('f').onload = () => {{
  const d = document.getElementById('f').contentDocument; {unfold}
  const shown = e => getComputedStyle(e).display !== 'none';
  const out = [d.documentElement.scrollWidth, d.documentElement.clientWidth, d.querySelectorAll('section').length,
    [...d.querySelectorAll('svg.chart')].filter(shown).filter(e => e.getBoundingClientRect().width > 100).length,
    [...d.querySelectorAll('svg.chart')].filter(shown).length];
  document.getElementById('out').textContent = 'probe ' + out.join(' ') + ' end';
}};
</script></body></html>"#
    )
}

/// scrollWidth, clientWidth, sections, charts of a sensible width, charts that show.
fn measured(dom: &str) -> [u32; 5] {
    // The page itself may speak of probes.
    let (_, written) = dom.split_once(r#"<pre id="out">probe "#).unwrap_or_else(|| {
        panic!("the probe did not write: {} bytes", dom.len());
    });
    let words = written.split_whitespace().take(5);
    let figures: Vec<u32> = words.map(|word| word.parse().expect("a number")).collect();
    figures.try_into().expect("five figures")
}

fn console(stderr: &str) -> Vec<&str> {
    stderr.lines().filter(|line| line.contains(":CONSOLE")).collect()
}

/// Width and height in a PNG's header.
fn png_size(path: &Path) -> (u32, u32) {
    let bytes = fs::read(path).expect("a picture");
    assert_eq!(&bytes[..8], b"\x89PNG\r\n\x1a\n", "{}", path.display());
    let at = |from: usize| u32::from_be_bytes(bytes[from..from + 4].try_into().expect("four bytes"));
    (at(16), at(20))
}

/// The pages to look at: name, markup, sections.
fn pages() -> Vec<(&'static str, String, u32)> {
    let root = tempfile::tempdir().expect("a folder");
    let runs = [
        ("better", BETTER),
        ("interrupted", Recipe { outcome: None, ..BETTER }),
        ("simulated", Recipe { outcome: Some(Outcome::Undecided), log: false, ..BETTER }),
        ("hostile", Recipe { hostile: true, ..BETTER }),
    ];
    let gates = [("gate-fail", SLOWER), ("gate-hostile", GateRecipe { hostile: true, ..SLOWER })];
    let runs = runs.map(|(name, recipe)| {
        let folder = root.path().join(name);
        make(&folder, recipe);
        (name, render(&Run::read(&folder).expect("a run")).expect("a page"), 14)
    });
    let gates = gates.map(|(name, recipe)| {
        let folder = root.path().join(name);
        make_gate(&folder, recipe);
        (name, render_gate(&GateFolder::read(&folder).expect("a comparison")).expect("a page"), 10)
    });
    runs.into_iter().chain(gates).collect()
}

#[test]
fn the_page_fits_desk_and_phone_without_a_word_in_the_console() {
    let Some(program) = browser() else {
        writeln!(io::stderr(), "skipped: no chromium; get it with `apt-get install chromium`").expect("stderr");
        return;
    };
    // Pages and pictures stay below the target folder, to be looked at.
    let out = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("rtt-report");
    let profile = tempfile::tempdir().expect("a folder");
    for (name, html, expected) in pages() {
        fs::create_dir_all(&out).expect("a folder");
        let page = out.join(format!("{name}.html"));
        fs::write(&page, &html).expect("written");
        for (width, unfold) in [(1280, false), (1280, true), (390, false), (390, true), (360, false)] {
            let framed = out.join(format!("{name}-{width}.probe.html"));
            fs::write(&framed, probe(&html, width, 900, unfold)).expect("written");
            let (dom, stderr) = chromium(program, profile.path(), &["--window-size=1400,1000", "--dump-dom"], &framed);
            let [content, screen, sections, wide_enough, charts] = measured(&dom);
            assert!(content <= screen && screen <= width, "{name} at {width}: {content} pixels of content on {screen}");
            assert_eq!(sections, expected, "{name} at {width}");
            assert!(
                charts > 0 && wide_enough == charts,
                "{name} at {width}: {wide_enough} of {charts} charts have a width"
            );
            assert_eq!(console(&stderr), [""; 0], "{name} at {width}");
        }
        let picture = out.join(format!("{name}.png"));
        let shot = format!("--screenshot={}", picture.display());
        let (_, stderr) = chromium(program, profile.path(), &["--window-size=1280,1600", &shot], &page);
        assert_eq!(png_size(&picture), (1280, 1600));
        assert_eq!(console(&stderr), [""; 0], "{name}: the page as it is, with its policy");
    }
}
