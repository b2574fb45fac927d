//! A small judge of markup: tags balance, ids are unique, references stay inside the page.

use std::collections::BTreeSet;

/// One start tag as it stands.
pub struct Tag<'a> {
    /// Its name.
    pub name: &'a str,
    /// All between the name and the closing bracket.
    pub attributes: &'a str,
}

/// Walks all tags of `page`.
///
/// # Errors
/// A text that says what is not balanced, with its surroundings.
pub fn tags(page: &str) -> Result<Vec<Tag<'_>>, String> {
    let mut open: Vec<&str> = Vec::new();
    let mut found = Vec::new();
    let mut rest = page.strip_prefix("<!DOCTYPE html>").ok_or("the page does not begin with its document type")?;
    while let Some(at) = rest.find('<') {
        let near: String = rest[at..].chars().take(60).collect();
        let end = rest[at..].find('>').ok_or_else(|| format!("a tag does not end: {near}"))? + at;
        let inside = &rest[at + 1..end];
        rest = &rest[end + 1..];
        if let Some(name) = inside.strip_prefix('/') {
            let last = open.pop();
            if last != Some(name) {
                return Err(format!("</{name}> ends {last:?}: {near}"));
            }
            continue;
        }
        let (inside, closed) = inside.strip_suffix('/').map_or((inside, false), |inside| (inside, true));
        let name = inside.split(char::is_whitespace).next().unwrap_or_default();
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric()) {
            return Err(format!("this is no tag: {near}"));
        }
        if !inside.matches('"').count().is_multiple_of(2) {
            return Err(format!("an attribute is not closed: {near}"));
        }
        found.push(Tag { name, attributes: inside[name.len()..].trim() });
        if name == "style" {
            // Raw text: nothing in it is a tag.
            let end = rest.find("</style>").ok_or("the style does not end")?;
            rest = &rest[end + "</style>".len()..];
        } else if !closed {
            open.push(name);
        }
    }
    if open.is_empty() { Ok(found) } else { Err(format!("never closed: {open:?}")) }
}

/// The value of an attribute.
pub fn attribute<'a>(tag: &Tag<'a>, name: &str) -> Option<&'a str> {
    let start = tag
        .attributes
        .match_indices(&format!("{name}=\""))
        .find(|(at, _)| *at == 0 || tag.attributes.as_bytes()[at - 1].is_ascii_whitespace())?;
    let value = &tag.attributes[start.0 + start.1.len()..];
    value.split('"').next()
}

/// Asserts all that holds for every page, and returns its tags.
pub fn judge(page: &str) -> Vec<Tag<'_>> {
    let tags = tags(page).unwrap_or_else(|why| panic!("{why}"));
    // REPORT-1: no outside resource, no script.
    for outside in
        ["http://", "https://", "src=", "url(", "@import", "<script", "<link", "<img", "<iframe", "javascript:"]
    {
        assert!(!page.contains(outside), "the page holds `{outside}`");
    }
    let mut ids = BTreeSet::new();
    for tag in &tags {
        // Between the quotes of values, names and equals signs are left.
        let mut names = tag.attributes.split('"').step_by(2).map(str::trim);
        assert!(!names.any(|name| name.starts_with("on")), "a handler: {}", tag.attributes);
        if let Some(id) = attribute(tag, "id") {
            assert!(ids.insert(id), "two elements have the id {id}");
        }
    }
    for tag in &tags {
        if let Some(target) = attribute(tag, "href") {
            let inside = target.strip_prefix('#').unwrap_or_else(|| panic!("{target} leads out of the page"));
            assert!(ids.contains(inside), "#{inside} is not in the page");
        }
        for id in attribute(tag, "aria-labelledby").unwrap_or_default().split_whitespace() {
            assert!(ids.contains(id), "no element has the id {id}");
        }
    }
    // REPORT-2: as words, since "inf" begins many of them.
    for word in page.split(|c: char| !c.is_alphanumeric() && c != '-') {
        assert!(
            !["NaN", "nan", "inf", "-inf", "-NaN", "undefined", "none"].contains(&word) || !figure(page, word),
            "`{word}` is printed"
        );
    }
    tags
}

/// Whether `word` stands where a figure would: alone in a cell, a coordinate or a label.
fn figure(page: &str, word: &str) -> bool {
    let places = [format!(">{word}<"), format!("=\"{word}\""), format!("M{word} "), format!(">{word}\u{202f}")];
    places.iter().any(|place| page.contains(place.as_str()))
}

#[test]
fn the_judge_finds_what_is_wrong() {
    for wrong in [
        "<p></p>",
        "<!DOCTYPE html><p><b></p></b>",
        "<!DOCTYPE html><p>",
        "<!DOCTYPE html><p a=\"></p>",
        "<!DOCTYPE html></p>",
        "<!DOCTYPE html><p>1 < 2</p>",
        "<!DOCTYPE html><p",
    ] {
        assert!(tags(wrong).is_err(), "{wrong}");
    }
    let good = "<!DOCTYPE html><style>a > b { }</style><p class=\"x\" id=\"i\"><br/></p>";
    let tags = tags(good).expect("a page");
    assert_eq!(attribute(&tags[1], "id"), Some("i"));
    assert!(figure("<td>NaN</td>", "NaN") && !figure("<td>information</td>", "inf"));
}
