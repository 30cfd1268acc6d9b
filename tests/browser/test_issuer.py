"""Sign in through an OpenID Connect issuer, with scripts and without them."""

from playwright.async_api import expect
from pydantic import SecretStr

from pointsman_service.embedded.postgres import PostgresServer
from pointsman_service.embedded.valkey import ValkeyServer
from tests.browser.conftest import Visitor
from tests.browser.site import Site
from tests.peers.oidc import CLIENT, SECRET, Issuer


async def test_a_link_leads_to_the_issuer_and_back_to_the_page(
    visitor: Visitor,
    plain_visitor: Visitor,
    postgres: PostgresServer,
    migrated_template: str,
    redis_of_browser: ValkeyServer,
) -> None:
    url = postgres.start().create_database(template=migrated_template)
    with Issuer() as issuer:
        settings = {
            "oidc_issuer": issuer.url,
            "oidc_roles": {"oncall": "operator"},
            "oidc_client_id": CLIENT,
            "oidc_client_secret": SecretStr(SECRET),
        }
        async with Site(url, redis_of_browser.url, keys_required=True, **settings) as site:
            for one in (visitor, plain_visitor):
                await one.page.goto(site.url + "queues/email?window=day")
                await one.page.get_by_role("link", name="Sign in at 127.0.0.1").click()
                await expect(one.page).to_have_url(site.url + "queues/email?window=day")
                await expect(one.page.get_by_role("button", name="Pause").first).to_be_visible()
                await one.page.get_by_role("button", name="Sign out oidc:ada").click()
                await expect(one.page.get_by_role("heading", name="Sign in")).to_be_visible()
            issuer.refuses = "access_denied"
            await visitor.page.get_by_role("link", name="Sign in at 127.0.0.1").click()
            await expect(visitor.page.get_by_role("alert")).to_contain_text("lets nobody in: access_denied")
            visitor.complaints.clear()
