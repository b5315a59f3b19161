//! Labels of the project, and which of them are ours: known by number, and by the mark in their description, so that
//! a renamed label is still ours after a lost disk.

use std::collections::BTreeMap;

use gitlab::api::projects::labels::Labels as ListLabels;
use http::Method;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::issues::built;
use super::{GitlabError, Project};
use crate::domain::State;

/// A label of the project.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Label {
    /// Its number; survives a rename.
    pub id: u64,
    /// What it is called now.
    pub name: String,
    /// Its description.
    #[serde(default)]
    pub description: Option<String>,
    /// Whether it is the project's own, not its group's: only that may be described from here. None where GitLab does not say.
    #[serde(default)]
    pub is_project_label: Option<bool>,
}

/// What a label of ours stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LabelKind {
    /// On every staged issue.
    Match,
    /// Where the match stands.
    State(State),
    /// On the issue that holds the settings.
    Settings,
}

impl LabelKind {
    /// The six labels.
    pub const ALL: [Self; 6] = [
        Self::Match,
        Self::State(State::Pending),
        Self::State(State::Approved),
        Self::State(State::Rejected),
        Self::State(State::Sent),
        Self::Settings,
    ];

    /// The word in the mark.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Match => "match",
            Self::State(state) => state.as_str(),
            Self::Settings => "settings",
        }
    }

    /// The label of this mark's word.
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }

    /// What the label is called when we make it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Match => "job-match",
            Self::State(State::Pending) => "job-match/pending",
            Self::State(State::Approved) => "job-match/approved",
            Self::State(State::Rejected) => "job-match/rejected",
            Self::State(State::Sent) => "job-match/sent",
            Self::Settings => "job-match/settings",
        }
    }

    /// Its colour when we make it.
    pub const fn colour(self) -> &'static str {
        match self {
            Self::Match => "#428BCA",
            Self::State(State::Pending) => "#F0AD4E",
            Self::State(State::Approved) => "#5CB85C",
            Self::State(State::Rejected) => "#D9534F",
            Self::State(State::Sent) => "#8E44AD",
            Self::Settings => "#7F8C8D",
        }
    }

    /// Its description when we make it: a sentence for people, and the mark.
    pub fn description(self) -> String {
        let sentence = match self {
            Self::Match => "A job match staged by Vorhölle.",
            Self::State(State::Pending) => "Waits for the reviewer's decision.",
            Self::State(State::Approved) => "The reviewer wants to apply.",
            Self::State(State::Rejected) => "The reviewer does not want it.",
            Self::State(State::Sent) => "The application has been sent.",
            Self::Settings => "Holds the settings of Vorhölle.",
        };
        format!("{sentence} vorhoelle:{}", self.as_str())
    }

    /// A description with our mark behind it; our own where it says nothing.
    pub fn marked(self, description: &str) -> String {
        match description.trim() {
            "" => self.description(),
            text => format!("{text} vorhoelle:{}", self.as_str()),
        }
    }

    /// Whether a label's description carries the mark.
    pub fn is_marked(self, label: &Label) -> bool {
        label.description.as_deref().and_then(Self::of_mark) == Some(self)
    }

    /// What a description's mark says.
    fn of_mark(description: &str) -> Option<Self> {
        description
            .split_whitespace()
            .filter_map(|word| word.strip_prefix("vorhoelle:"))
            .find_map(Self::of_word)
    }
}

/// Our labels: the number and the present name of each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OurLabels {
    by_kind: BTreeMap<LabelKind, (u64, String)>,
}

impl OurLabels {
    /// Finds ours among the project's: by the number that we know, then by the mark, then by name.
    pub fn find(labels: &[Label], known: &BTreeMap<LabelKind, u64>) -> Self {
        let mut by_kind: BTreeMap<LabelKind, (u64, String)> = BTreeMap::new();
        type Rule<'a> = &'a dyn Fn(&Label, LabelKind) -> bool;
        let rules: [Rule<'_>; 3] = [
            &|label, kind| known.get(&kind) == Some(&label.id),
            &|label, kind| label.description.as_deref().and_then(LabelKind::of_mark) == Some(kind),
            &|label, kind| label.name == kind.name(),
        ];
        for rule in rules {
            for kind in LabelKind::ALL {
                let taken = |id| by_kind.values().any(|(taken, _)| *taken == id);
                let found =
                    labels.iter().filter(|label| rule(label, kind) && !taken(label.id)).min_by_key(|l| l.id);
                if let Some(label) = found.filter(|_| !by_kind.contains_key(&kind)) {
                    by_kind.insert(kind, (label.id, label.name.clone()));
                }
            }
        }
        Self { by_kind }
    }

    /// What a label of this name is called by us.
    pub fn kind_of_name(&self, name: &str) -> Option<LabelKind> {
        self.by_kind.iter().find(|(_, (_, known))| known == name).map(|(kind, _)| *kind)
    }

    /// What the label of this number is to us.
    pub fn kind_of_id(&self, id: u64) -> Option<LabelKind> {
        self.by_kind.iter().find(|(_, (known, _))| *known == id).map(|(kind, _)| *kind)
    }

    /// What the label is called now; its first name where the project has none.
    pub fn name(&self, kind: LabelKind) -> &str {
        self.by_kind.get(&kind).map_or(kind.name(), |(_, name)| name)
    }

    /// The number of each.
    pub fn ids(&self) -> BTreeMap<LabelKind, u64> {
        self.by_kind.iter().map(|(kind, (id, _))| (*kind, *id)).collect()
    }

    /// Those that the project does not have.
    pub fn missing(&self) -> Vec<LabelKind> {
        LabelKind::ALL.into_iter().filter(|kind| !self.by_kind.contains_key(kind)).collect()
    }

    /// Adds one that was just made.
    pub fn insert(&mut self, kind: LabelKind, label: &Label) {
        self.by_kind.insert(kind, (label.id, label.name.clone()));
    }
}

impl Project {
    /// Every label of the project and its groups.
    ///
    /// # Errors
    ///
    /// As any call.
    pub async fn labels(&self) -> Result<Vec<Label>, GitlabError> {
        self.gitlab.all(&built(ListLabels::builder().project(self.id).build())?).await
    }

    /// Makes one of our labels; where its name is taken (another instance was faster), finds it.
    ///
    /// # Errors
    ///
    /// As any call.
    pub async fn create_label(&self, kind: LabelKind) -> Result<Label, GitlabError> {
        let endpoint = self.plain(Method::POST, "labels").json(json!({
            "name": kind.name(), "color": kind.colour(), "description": kind.description(),
        }));
        match self.gitlab.get(&endpoint).await {
            Err(error) if error.is_conflict() || error.is_unclear() => {
                let labels = self.labels().await?;
                labels.into_iter().find(|label| label.name == kind.name()).ok_or(error)
            }
            other => other,
        }
    }

    /// Gives a label its colour and its mark.
    ///
    /// # Errors
    ///
    /// As any call.
    pub async fn dress_label(&self, id: u64, kind: LabelKind) -> Result<Label, GitlabError> {
        let dress = json!({ "color": kind.colour(), "description": kind.description() });
        self.gitlab.get(&self.plain(Method::PUT, &format!("labels/{id}")).json(dress)).await
    }

    /// Gives a label its mark, so that it is ours after a rename too.
    ///
    /// # Errors
    ///
    /// As any call.
    pub async fn describe_label(&self, id: u64, description: &str) -> Result<Label, GitlabError> {
        let endpoint =
            self.plain(Method::PUT, &format!("labels/{id}")).json(json!({ "description": description }));
        self.gitlab.get(&endpoint).await
    }

    /// Deletes a label.
    ///
    /// # Errors
    ///
    /// As any call.
    pub async fn delete_label(&self, id: u64) -> Result<(), GitlabError> {
        self.gitlab.call(&self.plain(Method::DELETE, &format!("labels/{id}"))).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(id: u64, name: &str, description: &str) -> Label {
        Label { id, name: name.into(), description: Some(description.into()), is_project_label: None }
    }

    #[test]
    fn a_renamed_label_is_ours_by_number_and_by_mark() {
        let renamed = [label(7, "Zusage", ""), label(8, "Absage", "No thanks. vorhoelle:rejected")];
        let known = BTreeMap::from([(LabelKind::State(State::Approved), 7)]);
        let ours = OurLabels::find(&renamed, &known);
        assert_eq!(ours.kind_of_name("Zusage"), Some(LabelKind::State(State::Approved)));
        assert_eq!(ours.kind_of_id(8), Some(LabelKind::State(State::Rejected)));
        assert_eq!(ours.name(LabelKind::State(State::Rejected)), "Absage");
        assert_eq!(ours.missing().len(), 4);
    }

    #[test]
    fn the_number_wins_over_a_look_alike() {
        let labels = [label(7, "old", ""), label(9, "job-match/approved", "vorhoelle:approved")];
        let known = BTreeMap::from([(LabelKind::State(State::Approved), 7)]);
        assert_eq!(OurLabels::find(&labels, &known).kind_of_id(7), Some(LabelKind::State(State::Approved)));
        assert_eq!(OurLabels::find(&labels, &known).kind_of_id(9), None);
    }
}
