//! What people read: texts rendered from `templates/`, embedded, and overridden file by file from a folder.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Serde, Value};
use minijinja::{AutoEscape, Environment, Output, State, UndefinedBehavior};
use rust_embed::RustEmbed;
use serde::Serialize;

/// Work that one rendering may do, in minijinja's steps: a loop without end is a mistake in somebody's template.
const FUEL: u64 = 2_000_000;

/// What templates may call that nobody gives them.
const GLOBALS: [&str; 5] = ["debug", "dict", "loop", "namespace", "range"];

#[derive(RustEmbed)]
#[folder = "templates/"]
struct Embedded;

/// Every template: those of a folder compiled at once, ours when they are first needed, if ever.
#[derive(Debug)]
pub struct Templates {
    environment: OnceLock<Environment<'static>>,
    /// Those that a folder put in the place of ours.
    overridden: Vec<String>,
}

/// A template that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// The file cannot be read.
    #[error("the template {} cannot be read: {error}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// A file that takes no template's place.
    #[error("{} is no template that can be overridden{}", .path.display(), .near.as_ref().map_or_else(String::new, |near| format!("; did you mean {near}?")))]
    NoTemplate {
        /// The file.
        path: PathBuf,
        /// The template of the nearest name.
        near: Option<String>,
    },
    /// It names something that no template is given.
    #[error("the template {template} line {line}: nothing is called `{name}`")]
    UnknownName {
        /// The template.
        template: String,
        /// The line, from 1.
        line: usize,
        /// What it names.
        name: String,
    },
    /// It is no template, or names something that is not there.
    #[error("{} {}{}", .0.name().map_or_else(|| "a template".to_owned(), |name| format!("the template {name}")),
        .0.line().map_or_else(String::new, |line| format!("line {line}: ")), .0)]
    Wrong(#[from] minijinja::Error),
}

impl Templates {
    /// The embedded templates, with those of `folder` in place of theirs.
    ///
    /// # Errors
    ///
    /// The first template of the folder that cannot be read or compiled, with its line.
    pub fn load(folder: Option<&Path>) -> Result<Self, TemplateError> {
        if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
            let error = std::io::Error::from(std::io::ErrorKind::NotADirectory);
            return Err(TemplateError::Unreadable { path: folder.to_owned(), error });
        }
        if let Some(folder) = folder {
            refuse_others(folder, folder)?;
        }
        let overridden: Vec<_> = folder.into_iter().flat_map(overriding).collect();
        let environment = OnceLock::new();
        if !overridden.is_empty() {
            let mut with_theirs = ours()?;
            for (name, path) in &overridden {
                let source = std::fs::read_to_string(path)
                    .map_err(|error| TemplateError::Unreadable { path: path.clone(), error })?;
                with_theirs.add_template_owned(name.clone(), source)?;
            }
            environment.get_or_init(|| with_theirs);
        }
        Ok(Self { environment, overridden: overridden.into_iter().map(|(name, _)| name).collect() })
    }

    fn environment(&self) -> Result<&Environment<'static>, TemplateError> {
        if let Some(made) = self.environment.get() {
            return Ok(made);
        }
        let made = ours()?;
        Ok(self.environment.get_or_init(|| made))
    }

    /// Makes sure that no overriding template names something that no template of ours is given: it would fail in the
    /// middle of a night.
    ///
    /// # Errors
    ///
    /// The first name, with file and line.
    pub fn check_names(&self) -> Result<(), TemplateError> {
        let ours = Self::load(None)?;
        let mut known: BTreeSet<String> = GLOBALS.map(str::to_owned).into();
        for name in names() {
            known.extend(ours.environment()?.get_template(&name)?.undeclared_variables(false));
        }
        for name in &self.overridden {
            let template = self.environment()?.get_template(name)?;
            let names = template.undeclared_variables(false);
            let line_of = |name: &String| template.source().lines().position(|line| line.contains(name));
            let unknown = names.iter().filter(|name| !known.contains(*name));
            if let Some((line, unknown)) = unknown.map(|name| (line_of(name).unwrap_or(0), name)).min() {
                let (template, name) = (name.clone(), unknown.clone());
                return Err(TemplateError::UnknownName { template, line: line + 1, name });
            }
        }
        Ok(())
    }

    /// Whether a folder put a template in the place of one of ours.
    pub const fn are_overridden(&self) -> bool {
        !self.overridden.is_empty()
    }

    /// Renders a template.
    ///
    /// # Errors
    ///
    /// Where it names something that is not there, or does too much.
    pub fn render(&self, name: &str, context: impl Serialize) -> Result<String, TemplateError> {
        Ok(self.environment()?.get_template(name)?.render(Serde(context))?)
    }
}

/// How our templates are read; each is compiled when it is first asked for. That each can be is the tests' affair.
fn ours() -> Result<Environment<'static>, TemplateError> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_fuel(Some(FUEL));
    environment.set_formatter(write_escaped);
    environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
    environment.set_loader(|name| {
        Ok(Embedded::get(name).map(|file| String::from_utf8_lossy(&file.data).into_owned()))
    });
    Ok(environment)
}

/// Which templates a folder overrides, by what files.
fn overriding(folder: &Path) -> impl Iterator<Item = (String, PathBuf)> {
    let with_path = |name: Cow<'static, str>| (name.to_string(), folder.join(name.as_ref()));
    names().map(with_path).filter(|(_, path)| path.is_file())
}

/// The templates of the service; the sandbox is no part of it and brings its own.
fn names() -> impl Iterator<Item = Cow<'static, str>> {
    Embedded::iter().filter(|name| !name.starts_with("sandbox/"))
}

/// Refuses files in a folder of templates that would have no effect; hidden ones belong to other tools.
fn refuse_others(root: &Path, folder: &Path) -> Result<(), TemplateError> {
    let unreadable = |error| TemplateError::Unreadable { path: folder.to_owned(), error };
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let path = entry.path();
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        if path.is_dir() {
            refuse_others(root, &path)?;
            continue;
        }
        let relative = path.strip_prefix(root).unwrap_or(&path);
        let name = relative.iter().map(|part| part.to_string_lossy()).collect::<Vec<_>>().join("/");
        if Embedded::get(&name).is_none() {
            let file = entry.file_name().to_string_lossy().into_owned();
            let near = Embedded::iter().find(|known| known.rsplit('/').next() == Some(&file));
            return Err(TemplateError::NoTemplate { path, near: near.map(Cow::into_owned) });
        }
    }
    Ok(())
}

/// Values as HTML, but for slashes: addresses stay readable to whoever looks at a mail's source.
fn write_escaped(
    out: &mut Output<'_>,
    state: &mut State<'_, '_>,
    value: &Value,
) -> Result<(), minijinja::Error> {
    let text = match value.as_str() {
        Some(text) if *state.auto_escape() == AutoEscape::Html && !value.is_safe() => text,
        _ => return minijinja::escape_formatter(out, state, value),
    };
    let mut rest = text;
    // Each of them is one byte, and no byte of another character.
    while let Some(at) = rest.bytes().position(|byte| matches!(byte, b'<' | b'>' | b'&' | b'"' | b'\'')) {
        let (before, from) = rest.split_at(at);
        let escaped = match from.as_bytes()[0] {
            b'<' => "&lt;",
            b'>' => "&gt;",
            b'&' => "&amp;",
            b'"' => "&quot;",
            _ => "&#39;",
        };
        out.write_str(before)?;
        out.write_str(escaped)?;
        rest = &from[1..];
    }
    Ok(out.write_str(rest)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_of_ours_can_be_compiled() {
        let templates = Templates::load(None).unwrap();
        assert!(names().count() > 50);
        for name in names() {
            templates.environment().unwrap().get_template(&name).unwrap();
        }
    }

    #[test]
    fn a_folder_overrides_file_by_file_and_a_broken_one_says_where() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("issue.en.md"), "overridden {{ title }}").unwrap();
        let templates = Templates::load(Some(folder.path())).unwrap();
        let rendered = templates.render("issue.en.md", minijinja::context! { title => "x" }).unwrap();
        assert_eq!(rendered, "overridden x");
        let missing = templates.render("issue.en.md", minijinja::context! {}).unwrap_err().to_string();
        assert!(missing.contains("issue.en.md line 1"), "{missing}");
        std::fs::write(folder.path().join("issue.de.md"), "one\n{% if %}").unwrap();
        let broken = Templates::load(Some(folder.path())).unwrap_err().to_string();
        assert!(broken.contains("issue.de.md line 2"), "{broken}");
    }

    #[test]
    fn a_name_that_nothing_has_and_a_file_without_effect_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("comments")).unwrap();
        std::fs::write(folder.path().join("comments/told.en.md"), "x\n{{ hiden }}\n").unwrap();
        std::fs::write(folder.path().join(".keep"), "").unwrap();
        let said = Templates::load(Some(folder.path())).unwrap().check_names().unwrap_err().to_string();
        assert!(said.contains("comments/told.en.md line 2: nothing is called `hiden`"), "{said}");
        std::fs::write(folder.path().join("comments/told.en.md"), "{{ hidden }}\n").unwrap();
        assert!(Templates::load(Some(folder.path())).unwrap().check_names().is_ok());
        std::fs::write(folder.path().join("told.en.md"), "x").unwrap();
        let said = Templates::load(Some(folder.path())).unwrap_err().to_string();
        assert!(
            said.contains("told.en.md is no template") && said.contains("comments/told.en.md?"),
            "{said}"
        );
    }
}
