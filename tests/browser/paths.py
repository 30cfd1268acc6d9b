"""Every page of the dashboard as a path, for tests that hold of all of them. A new page adds its own."""

from tests.browser.site import Site

FIXED = ("", "help", "search", "search?q=nothing-of-this-name", "alerts", "alerts?severity=page&known=no")


async def paths_of(site: Site) -> list[str]:
    """Those of this installation: lists, and one of each thing that it has."""
    found = list(FIXED)
    found += [f"alerts/{row.id}" for row in await site.run("SELECT id FROM alert ORDER BY id LIMIT 1")]
    return found
