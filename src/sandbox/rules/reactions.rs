//! Emoji reactions on issues.

use serde_json::json;

use super::super::hooks::Trigger;
use super::super::people::Ability;
use super::super::records::Reaction;
use super::super::refusal::Refusal;
use super::super::world::World;

/// Canonical names and their aliases.
const EMOJI: &[(&str, &[&str])] = &[
    ("thumbsup", &["+1", "thumbup"]),
    ("thumbsdown", &["-1", "thumbdown"]),
    ("e-mail", &["email"]),
    ("envelope", &[]),
    ("incoming_envelope", &[]),
    ("speech_balloon", &[]),
    ("telephone_receiver", &[]),
    ("telephone", &["phone"]),
    ("calling", &[]),
    ("iphone", &[]),
    ("bell", &[]),
    ("no_bell", &[]),
    ("calendar", &[]),
    ("date", &[]),
    ("alarm_clock", &[]),
    ("white_check_mark", &[]),
    ("ballot_box_with_check", &[]),
    ("heavy_check_mark", &[]),
    ("x", &[]),
    ("eyes", &[]),
    ("hourglass", &[]),
    ("hourglass_flowing_sand", &[]),
    ("tada", &[]),
    ("no_entry", &[]),
    ("no_entry_sign", &[]),
    ("heart", &[]),
    ("rocket", &[]),
    ("fire", &["flame"]),
    ("100", &[]),
    ("star", &[]),
    ("warning", &[]),
    ("question", &[]),
    ("exclamation", &[]),
    ("smile", &[]),
    ("laughing", &["satisfied"]),
    ("thinking", &["thinking_face"]),
    ("clap", &[]),
    ("pray", &[]),
    ("muscle", &[]),
    ("memo", &["pencil"]),
    ("pushpin", &[]),
    ("lock", &[]),
    ("unlock", &[]),
    ("robot", &["robot_face"]),
    ("red_circle", &[]),
    ("blue_circle", &[]),
    ("large_blue_circle", &[]),
    ("mailbox", &[]),
    ("outbox_tray", &[]),
    ("inbox_tray", &[]),
    ("moneybag", &[]),
    ("zzz", &[]),
];

fn canonical(name: &str) -> Option<&'static str> {
    let name = name.trim_matches(':');
    EMOJI.iter().find(|(own, aliases)| *own == name || aliases.contains(&name)).map(|(own, _)| *own)
}

impl World {
    /// Adds a reaction.
    ///
    /// # Errors
    ///
    /// Every failure is a 404, as GitLab has it.
    pub fn react(&mut self, actor: u64, iid: u64, name: &str) -> Result<u64, Refusal> {
        let issue = self.issues.get(&iid).filter(|issue| self.can_see(Some(actor), issue));
        if issue.is_none() || !self.can(Some(actor), Ability::Participate) {
            return Err(Refusal::not_found("Award Emoji"));
        }
        let name = canonical(name)
            .ok_or_else(|| Refusal::not_found("Award Emoji Name is not a valid emoji name"))?;
        if self.reactions.iter().any(|r| r.iid == iid && r.user == actor && r.name == name) {
            return Err(Refusal::not_found("Award Emoji Name has already been taken"));
        }
        let reaction = Reaction {
            id: self.id("reaction", 2001),
            iid,
            user: actor,
            name: name.to_owned(),
            created_at: self.now(),
        };
        let id = reaction.id;
        self.fire_emoji(actor, &reaction, "award");
        self.reactions.push(reaction);
        self.resolve_todos(actor, iid);
        Ok(id)
    }

    /// Takes a reaction back.
    ///
    /// # Errors
    ///
    /// 404 for an unknown one, 401 for somebody else's.
    pub fn unreact(&mut self, actor: u64, iid: u64, id: u64) -> Result<(), Refusal> {
        let at = self
            .reactions
            .iter()
            .position(|reaction| reaction.iid == iid && reaction.id == id)
            .ok_or_else(|| Refusal::not_found("Award Emoji"))?;
        if self.reactions[at].user != actor {
            return Err(Refusal::unauthorized());
        }
        let reaction = self.reactions.remove(at);
        self.fire_emoji(actor, &reaction, "revoke");
        Ok(())
    }

    fn fire_emoji(&mut self, actor: u64, reaction: &Reaction, action: &str) {
        let Some(issue) = self.issues.get(&reaction.iid) else {
            return;
        };
        let body = json!({
            "object_kind": "emoji",
            "event_type": action,
            "user": self.hook_user(actor),
            "project_id": self.project.id,
            "project": self.hook_project(),
            "object_attributes": {
                "user_id": reaction.user,
                "created_at": super::super::world::stamp(reaction.created_at),
                "id": reaction.id,
                "name": reaction.name,
                "awardable_type": "Issue",
                "awardable_id": issue.id,
                "updated_at": super::super::world::stamp(reaction.created_at),
                "action": action,
                "awarded_on_url": self.issue_url(reaction.iid),
            },
            "issue": self.hook_issue(issue),
        });
        self.fire(Trigger::Emoji, &body);
    }
}
