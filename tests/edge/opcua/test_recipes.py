"""Recipes: which there are, which is in force, and how a client asks for another."""

from __future__ import annotations

import json
from typing import Any

from asyncua import Client, ua
from opcua_parts import PREFIX, Served, ask, until
from replier import Replier
from station_parts import health, status

from edge_inspect.edge.contract.commands import VERBS

INSPECTION = f"{PREFIX}.Inspection"
MANAGEMENT = f"{PREFIX}.RecipeManagement"


def say(served: Served, active: str, *, levels: tuple[str, ...] = ("status", "health"), **recipe: Any) -> None:
    """Publish status and health of a station with two recipes, or one of them."""
    known = {"requested": active, "active": active, "state": "active", "error": None, "names": ["bottle", "jar"]}
    told = {"health": json.loads(health().to_json()) | {"recipe": known | recipe}}
    told["status"] = json.loads(status().to_json()) | {"recipe": active}
    for level in levels:
        topic = f"{served.station.topics.prefix}/{level}"
        served.publisher.send(topic, json.dumps(told[level]).encode(), retain=True)


async def value(client: Client, name: str) -> Any:
    found = await client.get_node(f"{INSPECTION}.{name}").read_data_value(raise_on_bad_status=False)
    return found.Value.Value


async def in_force(client: Client, name: str) -> bool:
    return bool(await value(client, "Recipe") == name)


async def recipes(client: Client, prepared: int = 2) -> list[Any]:
    """The recipes that GetRecipeListFiltered returns; prepared: 0 not in force, 1 in force, 2 all."""
    await client.load_data_type_definitions()
    nothing = ua.Variant(None, ua.VariantType.ExtensionObject)
    inputs = [
        ua.Variant(ua.RecipeIdExternalDataType(Id=""), ua.VariantType.ExtensionObject),
        nothing,
        ua.Variant(prepared, ua.VariantType.Int32),
        *(ua.Variant(0, kind) for kind in (ua.VariantType.UInt32, ua.VariantType.UInt32, ua.VariantType.Int32)),
    ]
    method = client.get_node(f"{MANAGEMENT}.GetRecipeListFiltered").nodeid
    complete, count, _, found, error = await client.get_node(MANAGEMENT).call_method(method, *inputs)
    assert complete and count == len(found) and error == 0
    return list(found)


def test_recipes_are_listed_and_the_one_in_force_is_shown(served: Served) -> None:
    async def listed(client: Client, prepared: int) -> list[str]:
        return [each.Id for each in await recipes(client, prepared)]

    async def work(client: Client) -> None:
        say(served, "bottle")
        await until(lambda: in_force(client, "bottle"))
        await until(lambda: listed_two(client))
        assert await listed(client, 2) == ["bottle", "jar"]
        assert await listed(client, 1) == ["bottle"] and await listed(client, 0) == ["jar"]
        say(served, "jar", requested="cap", state="failed", error="no recipe cap")
        await until(lambda: in_force(client, "jar"))
        await until(lambda: has_failed(client))
        assert await value(client, "RecipeRequested") == "cap"
        assert await listed(client, 1) == ["jar"]

    async def listed_two(client: Client) -> bool:
        return bool(await value(client, "Recipes") == ["bottle", "jar"])

    async def has_failed(client: Client) -> bool:
        return bool(await value(client, "RecipeError") == "no recipe cap")

    ask(served.settings, served.keys, work, user="vera")


def test_a_recipe_is_not_given_the_bundle_of_the_one_before(served: Served) -> None:
    """After a change-over the status comes at once, and the health with the new bundle up to 10 s later."""

    async def versions(client: Client) -> dict[str, str]:
        return {each.Id: each.Version for each in await recipes(client)}

    async def are(client: Client, bottle: str | None, jar: str | None) -> bool:
        return await versions(client) == {"bottle": bottle, "jar": jar}

    async def work(client: Client) -> None:
        say(served, "bottle")
        await until(lambda: in_force(client, "bottle"))
        await until(lambda: are(client, "flange", ""))
        say(served, "jar", levels=("status",))
        await until(lambda: in_force(client, "jar"))
        assert await versions(client) == {"bottle": "flange", "jar": ""}
        say(served, "jar", levels=("health",))
        await until(lambda: are(client, "", "flange"))

    ask(served.settings, served.keys, work, user="vera")


def test_a_client_asks_for_another_recipe(served: Served) -> None:
    """A release that has no command `recipe` says so; both methods send the same command."""
    known = "recipe" in VERBS

    async def work(client: Client) -> None:
        select = client.get_node(f"{INSPECTION}.SelectRecipe").nodeid
        error, reason = await client.get_node(INSPECTION).call_method(select, "jar")
        assert (error == 0) is known and bool(reason) is not known
        error, reason = await client.get_node(INSPECTION).call_method(select, "")
        assert error == -9 and reason == "give the name of a recipe"
        await client.load_data_type_definitions()
        wanted = ua.Variant(ua.RecipeIdExternalDataType(Id="bottle"), ua.VariantType.ExtensionObject)
        nothing = ua.Variant(None, ua.VariantType.ExtensionObject)
        prepare = client.get_node(f"{MANAGEMENT}.PrepareRecipe").nodeid
        internal, completed, error = await client.get_node(MANAGEMENT).call_method(prepare, wanted, nothing)
        assert internal.Id == "bottle" and completed is known and (error == 0) is known

    with Replier(served.broker, served.station) as replier:
        ask(served.settings, served.keys, work)
    heard = [(each["command"], each["name"]) for each in replier.heard]
    assert heard == ([("recipe", "jar"), ("recipe", "bottle")] if known else [])
