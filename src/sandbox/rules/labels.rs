//! Labels: making, changing and deleting them, and finding them by name.

use super::super::people::Ability;
use super::super::records::Label;
use super::super::refusal::Refusal;
use super::super::world::World;

/// The colour of a label that was made by naming it.
const DEFAULT_COLOR: &str = "#6699cc";

/// The CSS colours that people use by name.
const CSS: &[(&str, &str)] = &[
    ("black", "#000000"),
    ("white", "#FFFFFF"),
    ("red", "#FF0000"),
    ("green", "#008000"),
    ("blue", "#0000FF"),
    ("yellow", "#FFFF00"),
    ("orange", "#FFA500"),
    ("purple", "#800080"),
    ("gray", "#808080"),
    ("grey", "#808080"),
    ("teal", "#008080"),
    ("magenta", "#FF00FF"),
    ("cyan", "#00FFFF"),
    ("brown", "#A52A2A"),
    ("pink", "#FFC0CB"),
];

impl World {
    /// Makes a label.
    ///
    /// # Errors
    ///
    /// 403 without the permission, 409 where the title is taken, 400 where something is not valid.
    pub fn create_label(
        &mut self,
        actor: u64,
        name: &str,
        color: &str,
        description: Option<String>,
    ) -> Result<u64, Refusal> {
        self.allow(Some(actor), Ability::AdminLabel)?;
        let name = name.trim();
        if self.label_named(name).is_some() {
            return Err(Refusal::conflict("Label already exists"));
        }
        check_title(name)?;
        let color = hex_color(color)?;
        Ok(self.insert_label(name, &color, description))
    }

    fn insert_label(&mut self, name: &str, color: &str, description: Option<String>) -> u64 {
        let now = self.now();
        let id = self.id("label", 301);
        self.labels.push(Label {
            id,
            name: name.to_owned(),
            color: color.to_owned(),
            description: description.filter(|text| !text.is_empty()),
            priority: None,
            remove_on_close: false,
            archived: false,
            created_at: now,
            updated_at: now,
        });
        id
    }

    /// The labels of these titles. Unknown ones are made where the user may make labels, else left out.
    pub(super) fn labels_for(&mut self, actor: u64, names: &[String], create: bool) -> Vec<u64> {
        let mut ids = Vec::new();
        for name in names.iter().map(|name| name.trim()).filter(|name| !name.is_empty()) {
            let known = self.label_named(name).map(|label| label.id);
            let id = match known {
                Some(id) => id,
                None if create && self.can(Some(actor), Ability::AdminLabel) && check_title(name).is_ok() => {
                    self.insert_label(name, DEFAULT_COLOR, None)
                }
                None => continue,
            };
            if !ids.contains(&id) {
                ids.push(id);
            }
        }
        ids
    }

    /// Finds a label by id, then by title, as the address of the API names it.
    pub(in super::super) fn label_at(&self, id_or_title: &str) -> Result<&Label, Refusal> {
        id_or_title
            .parse()
            .ok()
            .and_then(|id| self.label(id))
            .or_else(|| self.label_named(id_or_title))
            .ok_or_else(|| Refusal::not_found("Label"))
    }

    /// Changes a label. Issues keep it, their `updated_at` stays, and no webhook tells of it.
    ///
    /// # Errors
    ///
    /// 403 without the permission, 404 for an unknown label, 400 where something is not valid.
    pub fn update_label(
        &mut self,
        actor: u64,
        id_or_title: &str,
        change: LabelChange,
    ) -> Result<u64, Refusal> {
        self.allow(Some(actor), Ability::AdminLabel)?;
        let id = self.label_at(id_or_title)?.id;
        let name = change.name.map(|name| name.trim().to_owned());
        if let Some(name) = &name {
            check_title(name)?;
            if self.labels.iter().any(|label| label.id != id && label.name == *name) {
                return Err(Refusal::invalid("title", "has already been taken"));
            }
        }
        let color = change.color.as_deref().map(hex_color).transpose()?;
        let now = self.now();
        let Some(label) = self.labels.iter_mut().find(|label| label.id == id) else {
            return Err(Refusal::not_found("Label"));
        };
        label.name = name.unwrap_or_else(|| label.name.clone());
        label.color = color.unwrap_or_else(|| label.color.clone());
        if let Some(description) = change.description {
            label.description = Some(description).filter(|text| !text.is_empty());
        }
        if let Some(priority) = change.priority {
            label.priority = priority;
        }
        label.archived = change.archived.unwrap_or(label.archived);
        label.updated_at = now;
        Ok(id)
    }

    /// Deletes a label: it leaves all issues and boards silently, and history keeps only that there was one.
    ///
    /// # Errors
    ///
    /// 403 without the permission, 404 for an unknown label.
    pub fn delete_label(&mut self, actor: u64, id_or_title: &str) -> Result<(), Refusal> {
        self.allow(Some(actor), Ability::AdminLabel)?;
        let id = self.label_at(id_or_title)?.id;
        self.labels.retain(|label| label.id != id);
        for issue in self.issues.values_mut() {
            issue.labels.retain(|label| *label != id);
        }
        for event in self.label_events.iter_mut().filter(|event| event.label == Some(id)) {
            event.label = None;
        }
        for board in &mut self.boards {
            board.lists.retain(|list| list.label != id);
        }
        Ok(())
    }
}

/// What is to change about a label.
#[derive(Clone, Debug, Default)]
pub struct LabelChange {
    /// New title.
    pub name: Option<String>,
    /// New colour.
    pub color: Option<String>,
    /// New description.
    pub description: Option<String>,
    /// New priority, or none.
    pub priority: Option<Option<u64>>,
    /// Whether it is archived.
    pub archived: Option<bool>,
}

fn check_title(title: &str) -> Result<(), Refusal> {
    if title.is_empty() {
        return Err(Refusal::invalid("title", "can't be blank"));
    }
    if title.contains(',') || title == "." || title == ".." {
        return Err(Refusal::invalid("title", "is invalid"));
    }
    if title.chars().count() > 255 {
        return Err(Refusal::invalid("title", "is too long (maximum is 255 characters)"));
    }
    Ok(())
}

fn hex_color(color: &str) -> Result<String, Refusal> {
    let color = color.trim();
    if let Some((_, hex)) = CSS.iter().find(|(name, _)| name.eq_ignore_ascii_case(color)) {
        return Ok((*hex).to_owned());
    }
    let digits = color.strip_prefix('#').unwrap_or_default();
    if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(Refusal::invalid("color", "must be a valid color code"));
    }
    match digits.len() {
        6 => Ok(color.to_owned()),
        3 => Ok(digits.chars().fold("#".to_owned(), |hex, digit| format!("{hex}{digit}{digit}"))),
        _ => Err(Refusal::invalid("color", "must be a valid color code")),
    }
}
