"""Drives the sandbox with python-gitlab, a client that nobody wrote for it."""

import sys

import gitlab
from gitlab.exceptions import GitlabCreateError, GitlabAuthenticationError, GitlabDeleteError, GitlabGetError

url, project_id, receiver = sys.argv[1], int(sys.argv[2]), sys.argv[3]


def login(name):
    client = gitlab.Gitlab(url, private_token=f"sandbox-{name}-token", retry_transient_errors=False)
    client.auth()
    assert client.user.username == name
    return client


def refused(kind, status, act):
    try:
        act()
    except kind as error:
        assert error.response_code == status, error
        return str(error)
    raise AssertionError(f"not refused with {status}")


bot, reviewer, guest = login("bot"), login("reviewer"), login("guest")
assert bot.version()[0].startswith("19.")
assert bot.personal_access_tokens.get("self").scopes == ["api"]
refused(GitlabAuthenticationError, 401, lambda: gitlab.Gitlab(url, private_token="wrong").auth())

project = bot.projects.get("acme/job-matches")
assert project.id == project_id and project.visibility == "private"
members = {member.username: member.access_level for member in project.members_all.list(get_all=True)}
assert members["reviewer"] == gitlab.const.AccessLevel.MAINTAINER
assert "stranger" not in members

# Labels
pending = project.labels.create({"name": "job-match/pending", "color": "#F0AD4E"})
approved = project.labels.create({"name": "job-match/approved", "color": "#5CB85C"})
assert "already exists" in refused(
    GitlabCreateError, 409, lambda: project.labels.create({"name": "job-match/pending", "color": "#F0AD4E"})
)
assert project.labels.get("job-match/pending").id == pending.id
pending.description = "waits"
pending.save()
assert project.labels.get(pending.id).description == "waits"
project.labels.update("job-match/approved", {"new_name": "job-match/accepted"})
project.labels.update("job-match/accepted", {"new_name": "job-match/approved"})
refused(GitlabGetError, 404, lambda: project.labels.get("nothing"))

# Hooks, by a Maintainer
hooks = reviewer.projects.get(project_id, lazy=True).hooks
hook = hooks.create({"url": receiver, "issues_events": True, "push_events": False, "token": "secret"})
assert hook.alert_status == "executable" and hook.issues_events and not hook.push_events
hook.note_events = True
hook.save()
assert hooks.get(hook.id).note_events
assert [each.id for each in hooks.list(get_all=True)] == [hook.id]

# Issues
issue = project.issues.create(
    {
        "title": "[97 %] Cloud Architect",
        "description": "A job",
        "labels": ["job-match", "job-match/pending"],
        "assignee_ids": [reviewer.user.id],
        "due_date": "2026-12-01",
    }
)
assert issue.state == "opened" and sorted(issue.labels) == ["job-match", "job-match/pending"]
assert issue.assignees[0]["username"] == "reviewer"
for number in range(24):
    project.issues.create({"title": f"other {number}"})
assert len(project.issues.list(get_all=True)) == 25
assert len(list(project.issues.list(iterator=True, per_page=10, order_by="updated_at", sort="asc"))) == 25
assert [one.iid for one in project.issues.list(labels=["job-match"], state="opened", get_all=True)] == [issue.iid]
assert [one.iid for one in project.issues.list(iids=[issue.iid], get_all=True)] == [issue.iid]
assert project.issues.list(iterator=True).total == 25

# Relabel, by the reviewer with `labels`, then with add and remove
theirs = reviewer.projects.get(project_id, lazy=True).issues.get(issue.iid)
theirs.labels = ["job-match", "job-match/approved"]
theirs.save()
project.issues.update(issue.iid, {"add_labels": "job-match/pending", "remove_labels": "job-match/approved"})
issue = project.issues.get(issue.iid)
assert sorted(issue.labels) == ["job-match", "job-match/pending"]
events = issue.resourcelabelevents.list(get_all=True)
assert [(event.user["username"], event.action, event.label["name"]) for event in events] == [
    ("bot", "add", "job-match"),
    ("bot", "add", "job-match/pending"),
    ("reviewer", "add", "job-match/approved"),
    ("reviewer", "remove", "job-match/pending"),
    ("bot", "add", "job-match/pending"),
    ("bot", "remove", "job-match/approved"),
], events
assert issue.resourcelabelevents.get(events[0].id).action == "add"

# To-dos
mine = reviewer.todos.list(get_all=True)
assert mine == [], "relabelling resolved the reviewer's own"
note = issue.notes.create({"body": "@reviewer, please look"})
(todo,) = reviewer.todos.list(get_all=True)
assert todo.action_name == "directly_addressed" and todo.target["iid"] == issue.iid
todo.mark_as_done()
assert reviewer.todos.list(get_all=True) == []
issue.todo()
assert [each.action_name for each in bot.todos.list(get_all=True)] == ["marked"]
bot.todos.mark_all_as_done()

# Comments and reactions
note.body = "edited"
note.save()
assert issue.notes.get(note.id).body == "edited"
award = issue.awardemojis.create({"name": "e-mail"})
assert "already been taken" in refused(GitlabCreateError, 404, lambda: issue.awardemojis.create({"name": "e-mail"}))
assert [each.name for each in issue.awardemojis.list(get_all=True)] == ["e-mail"]
assert [one.iid for one in project.issues.list(my_reaction_emoji="e-mail", get_all=True)] == [issue.iid]
award.delete()
note.delete()

# Close, reopen, state events
issue.state_event = "close"
issue.save()
issue.state_event = "reopen"
issue.save()
assert [event.state for event in issue.resourcestateevents.list(get_all=True)] == ["closed", "reopened"]

# Boards
board = project.boards.create({"name": "Matches"})
for label in (pending, approved):
    board.lists.create({"label_id": label.id})
assert [each.label["name"] for each in board.lists.list(get_all=True)] == ["job-match/pending", "job-match/approved"]
assert [each.name for each in project.boards.list(get_all=True)] == ["Matches"]

# What may not be
refused(GitlabDeleteError, 403, lambda: issue.delete())
refused(GitlabCreateError, 403, lambda: guest.projects.get(project_id).labels.create({"name": "x", "color": "#000000"}))
refused(GitlabCreateError, 400, lambda: project.issues.create({"title": "x" * 256}))

hook.delete()
pending.delete()
assert project.issues.get(issue.iid).labels == ["job-match"]
print("python-gitlab", gitlab.__version__, "is content")
