"""What the OpenAPI document shows: for each shape, by its name, examples by their titles.

Data alone: a test holds each against its schema, and finds the shape that has none. An example whose key ends in a
status is that status's.
"""

from __future__ import annotations

from typing import Any, Final

INTERVIEW: Final = "3a21d740-4e53-4baa-80d5-a59a372de410"
STARTED_AT: Final = 1_900_000_000_000
DEADLINE_AT: Final = STARTED_AT + 480_000
SUBMITTED_AT: Final = STARTED_AT + 2_000_000
FENCE: Final = {"epoch": 1, "n": 1}
USER: Final = {
    "id": "fa4eb716-8c93-4072-b7f7-967797a16473",
    "email": "ada@example.com",
    "name": "Ada",
    "avatar_url": "https://example.com/ada.png",
}
SIGNED_IN: Final = {
    "access_token": "eyJ0eXAiOiJhdCtqd3QifQ.e30.c2lnbmF0dXJl",
    "token_type": "Bearer",
    "expires_in": 900,
    "user": USER,
}
TITLE: Final = "LRU cache with expiring entries"
ACTIVE: Final = {
    "id": INTERVIEW,
    "slug": "lru-cache-ttl",
    "title": TITLE,
    "phase": "clarifying",
    "started_at": STARTED_AT,
    "deadline_at": DEADLINE_AT,
    "submitted_at": None,
    "score": None,
    "passed": None,
}
OVER: Final = {**ACTIVE, "phase": "submitted", "submitted_at": SUBMITTED_AT, "score": 72.5, "passed": True}
ITEM: Final = {
    "slug": "lru-cache-ttl",
    "title": TITLE,
    "type": "LLD",
    "difficulty": "medium",
    "companies": ["Google", "Uber"],
    "tags": ["caching", "concurrency"],
    "status": "published",
    "access": "free",
    "acceptance_rate": 0.4231,
    "time_limits": {"clarify_seconds": 480, "design_seconds": 2700},
    "my_status": {"state": "in_progress", "interview": INTERVIEW, "best_score": 61.5},
}
ANSWER: Final = "Many threads use it at once, and it must stay correct."
SNAPSHOT: Final = {
    "id": INTERVIEW,
    "s": 2,
    "phase": "clarifying",
    "started_at": STARTED_AT,
    "deadline_at": DEADLINE_AT,
    "clarifications": [
        {
            "ref": 1,
            "asked_at": STARTED_AT + 9_000,
            "text": "Does it need to be thread safe?",
            "kind": "answered",
            "response": ANSWER,
            "intent": "thread_safety",
            "label": "Threads",
            "remaining": 1,
            "state": "open",
        }
    ],
    "draft": {
        "rev": 1,
        "language": "python",
        "checksum": 2_622_182_364,
        "fields": {
            "functional_req": "get and put in O(1)",
            "non_functional_req": "",
            "entities": "",
            "classes_and_relationships": "",
            "apis": "",
            "code": "",
            "extra": "",
        },
    },
    "submission": None,
    "evaluation": None,
}
TIMELINE: Final = [
    {"s": 1, "ts": STARTED_AT + 9_000, "t": "clarification.answered", "d": {"kind": "answered", "response": ANSWER}},
    {"s": 2, "ts": STARTED_AT + 60_000, "t": "draft.saved", "d": {"rev": 1, "late": False}},
]
QUEUED: Final = {"run": 1, "attempt": 0, "state": "queued"}
CRITERION: Final = {
    "run": 1,
    "id": "concurrency",
    "name": "Correct under many threads",
    "weight": 1.0,
    "points": 3.0,
    "points_max": 4.0,
    "score": 0.75,
    "level": 3,
    "verdicts": [
        {
            "check": "lock",
            "ask": "Is every access to the map guarded?",
            "points": 3.0,
            "verdict": "met",
            "section": "code",
            "quote": "with self._lock:",
        }
    ],
}
COMPLETED: Final = {
    "run": 1,
    "attempt": 1,
    "state": "completed",
    "judge": "openai",
    "criteria": [{"id": "concurrency", "name": "Correct under many threads", "weight": 1.0}],
    "judged": [CRITERION],
    "result": {
        "run": 1,
        "score": 75.0,
        "passed": True,
        "judge": "openai",
        "narrative": "A sound design.",
        "band": {"low": 75.0, "high": 80.0, "times": 3},
        "first_shown": {"lock": 21},
        "appeals_left": 1,
        "unasked": [{"intent": "ttl", "label": "How entries expire", "weight": 5}],
    },
}
APPEAL: Final = {
    "run": 2,
    "check": "eviction",
    "field": "code",
    "quote": "while len(self._map) > self._size:",
    "attempt": 1,
    "state": "running",
}
EXPORT: Final = {
    "format": "interview-engine-export/1",
    "exported_at": SUBMITTED_AT + 60_000,
    "profile": {**USER, "google": False, "created_at": STARTED_AT, "updated_at": STARTED_AT},
    "logins": [
        {
            "method": "code",
            "created_at": STARTED_AT,
            "rotated_at": STARTED_AT + 900_000,
            "expires_at": STARTED_AT + 2_592_000_000,
            "revoked_at": None,
            "revoked_why": None,
        }
    ],
    "codes": [
        {
            "created_at": STARTED_AT - 60_000,
            "expires_at": STARTED_AT + 540_000,
            "consumed_at": STARTED_AT,
            "failures": 0,
        }
    ],
    "interviews": [
        {
            "id": INTERVIEW,
            "slug": "lru-cache-ttl",
            "title": TITLE,
            "pack_hash": "9b1c",
            "phase": "clarifying",
            "started_at": STARTED_AT,
            "deadline_at": DEADLINE_AT,
            "submitted_at": None,
            "clarifications": [],
            "solution": None,
            "runs": [],
            "evaluation": None,
            "events": [{"t": "phase.changed", "s": 1, "ts": DEADLINE_AT, "d": {"phase": "design", "by": "clock"}}],
        }
    ],
}

EXAMPLES: Final[dict[str, Any]] = {
    "path slug": "lru-cache-ttl",
    "path id": INTERVIEW,
    "request id": "66ceb3dcdf2c4a5e9c1e11c7d46911af",
    "Health": {"alive": {"status": "ok"}},
    "User": {"a person": USER},
    "ProfileChange": {
        "a name": {"name": "Ada"},
        "a picture": {"avatar_url": "https://example.com/ada.png"},
        "no picture": {"avatar_url": None},
    },
    "Export": {"a short one": EXPORT},
    "Leaving": {"one's own address": {"email": "ada@example.com"}},
    "CodeRequest": {"an address": {"email": "ada@example.com"}},
    "CodeSent": {"sent": {"challenge_id": "0d6f3c6e-6d0e-4a5c-8f0e-0c6a4f1f7f11", "expires_in": 600, "resend_in": 60}},
    "CodeTry": {"a code": {"challenge_id": "0d6f3c6e-6d0e-4a5c-8f0e-0c6a4f1f7f11", "code": "123 456"}},
    "SignedIn": {
        "in a browser": SIGNED_IN,
        "without cookies": {**SIGNED_IN, "refresh_token": "b4c0e1f2.dGhlIHJlZnJlc2ggdG9rZW4"},
    },
    "Ways": {
        "codes alone": {"code": True, "google": None, "development": False},
        "with Google": {
            "code": True,
            "google": {"client_id": "1234.apps.googleusercontent.com", "nonce": "wJ4Zp0mJ8W0"},
            "development": False,
        },
    },
    "GoogleToken": {"from the button": {"id_token": "eyJhbGciOiJSUzI1NiJ9.e30.c2lnbmF0dXJl", "nonce": "wJ4Zp0mJ8W0"}},
    "Refresh": {"by the cookie": {}, "without cookies": {"refresh_token": "b4c0e1f2.dGhlIHJlZnJlc2ggdG9rZW4"}},
    "LogOut": {"here": {}, "everywhere": {"all": True}},
    "Page": {"one page": {"items": [ITEM], "next_cursor": "k6V0aXRsZaFhoWE"}},
    "Question": {
        "a question": {
            **ITEM,
            "statement": "Design a cache component that other code in the same program uses.",
            "sections": [
                {
                    "field": "entities",
                    "label": "Entities",
                    "hint": "One class a line, its name first.",
                    "required": True,
                }
            ],
            "languages": ["go", "cpp", "java", "python"],
            "max_questions": 12,
        }
    },
    "InterviewView": {"an active one": ACTIVE},
    "InterviewPage": {"one page": {"items": [OVER], "next_cursor": None}},
    "InterviewDetail": {"while clarifying": {**ACTIVE, "snapshot": SNAPSHOT, "timeline": TIMELINE}},
    "TicketRequest": {"to write": {}, "to watch": {"role": "observer"}},
    "TicketGiven": {
        "good for 30 seconds": {
            "ticket": "SN9cXDKxfzcdYKLv0AjPyAR9NYIszVDK",
            "url": "wss://interviews.example.org/v1/socket",
            "protocol": "sdi.v1.json",
            "expires_in": 30,
        }
    },
    "WriterRequest": {"any client": {}, "by name": {"tab": "editor-1"}},
    "WriterGiven": {"the pen": {"fence": FENCE}},
    "CommandBody": {
        "ask": {
            "t": "clarify.ask",
            "id": "ask-00001",
            "d": {"text": "Does it need to be thread safe?"},
            "fence": FENCE,
        },
        "save": {
            "t": "draft.save",
            "id": "save-00001",
            "d": {"base": 0, "changes": [{"field": "functional_req", "text": "get and put in O(1)"}]},
            "fence": FENCE,
        },
        "proceed": {"t": "phase.proceed", "id": "proceed-00001", "fence": FENCE},
        "submit": {
            "t": "solution.submit",
            "id": "submit-00001",
            "d": {"rev": 1, "checksum": 2_622_182_364},
            "fence": FENCE,
        },
        "appeal": {
            "t": "evaluation.appeal",
            "id": "appeal-00001",
            "d": {"check": "eviction", "field": "code", "quote": "while len(self._map) > self._size:"},
            "fence": FENCE,
        },
    },
    "Ack": {
        "a saved draft": {"t": "ack", "id": "save-00001", "s": 2, "rev": 1},
        "sent again": {"t": "ack", "id": "save-00001", "s": 2, "rev": 1, "dup": True},
    },
    "EvaluationView": {"judged": COMPLETED, "a check is appealed": {**COMPLETED, "appeal": APPEAL}},
    "EvaluationView 202": {"waiting": QUEUED},
}
