"""The study: data, models, runs, claims, figures and report, each a room that knows only the rooms before it."""
