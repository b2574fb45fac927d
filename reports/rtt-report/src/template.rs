//! The templates: one frame and one set of parts for all pages, filled and escaped.

use minijinja::{AutoEscape, Environment, UndefinedBehavior, Value, context};

const STYLE: &str = include_str!("style.css");
/// `frame.html` is the document around a page, `parts.html` holds macros, the others are pages.
const TEMPLATES: [(&str, &str); 4] = [
    ("frame.html", include_str!("frame.html")),
    ("parts.html", include_str!("parts.html")),
    ("page.html", include_str!("page.html")),
    ("gate.html", include_str!("gate.html")),
];

/// Why a page could not be made: the template and what fills it do not fit, which is a defect of this program.
#[derive(Debug, thiserror::Error)]
#[error("page of {name}: the template does not take what was made for it; report this with the folder that was drawn")]
pub struct RenderError {
    /// The run or the comparison.
    pub name: String,
    /// What the template said.
    pub source: minijinja::Error,
}

/// The page `template` filled with `values`; `name` is for the error.
pub fn fill(template: &str, name: &str, values: Value) -> Result<String, RenderError> {
    let failed = |source| RenderError { name: name.into(), source };
    let mut environment = Environment::new();
    // REPORT-1: what is not made by this program passes through the escape, whatever the template's name.
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    // A field that is misspelt in the template is an error, not an empty place.
    environment.set_undefined_behavior(UndefinedBehavior::SemiStrict);
    for (name, text) in TEMPLATES {
        environment.add_template(name, text).map_err(failed)?;
    }
    let values = context! { style => Value::from_safe_string(STYLE.into()), ..values };
    environment.get_template(template).and_then(|page| page.render(values)).map_err(failed)
}
