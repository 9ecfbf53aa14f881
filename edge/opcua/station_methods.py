"""The methods of one station: who may call each, what it asks of the station, and what it returns."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple, Protocol

from asyncua import Node, Server, ua
from asyncua.common.ua_utils import data_type_to_variant_type
from asyncua.ua.uaerrors import BadNoMatch

from edge_inspect.edge.opcua.access import Caller, caller
from edge_inspect.edge.opcua.part_history import PartHistory
from edge_inspect.edge.opcua.received_messages import ReceivedPart
from edge_inspect.edge.opcua.result_values import COMPLETED, fields, internal_recipe, result
from edge_inspect.edge.opcua.station_commands import UNKNOWN, WRONG_STATE, Outcome, StationCommands
from edge_inspect.edge.page.roles import Role

_Kind = ua.VariantType
_ua: Any = ua
MOST_RESULTS = 1000
"""Largest number of results that GetResultListFiltered returns."""
MOST_RECIPES = 1000
_COMPONENTS = (
    *("HasTransferableDataOnFile", "ResultHandle", "IsPartial", "IsSimulated", "ResultState", "MeasId", "PartId"),
    *("ExternalRecipeId", "InternalRecipeId", "ProductId", "ExternalConfigurationId", "InternalConfigurationId"),
    *("JobId", "CreationTime", "ProcessingTimes", "ResultContent", "Error"),
)
"""The outputs of GetResultComponentsById."""
_GOOD, _MISMATCH = ua.StatusCode(), ua.StatusCode(ua.StatusCodes.BadTypeMismatch)
Outputs = list[ua.Variant]
Do = Callable[[Caller, list[Any]], Awaitable[Outputs]]


class StationModel(Protocol):
    """What the methods need to know of their station, and change."""

    halted: bool

    @property
    def recipes(self) -> list[str]:
        """Names of the station's recipes."""

    @property
    def recipe_in_force(self) -> str | None:
        """Name of the recipe in force; `None` without one."""

    def bundle_of(self, recipe: str) -> tuple[str, str]:
        """Return name and digest of a recipe's bundle; empty texts if they are unknown."""

    async def look_again(self) -> None:
        """Show the state anew after `halted` has changed."""

    async def say(self, message: str) -> None:
        """Send an event that says what came of a command."""


class _Bound(NamedTuple):
    """A method that clients can call.

    Attributes:
        role: The least role that may call it; `None`: whoever may read.
        do: Carries it out.
    """

    role: Role | None
    do: Do


class _Input(NamedTuple):
    """An input of a method, as its node describes it.

    Attributes:
        kind: Its type; `Variant`: any.
        is_array: Whether it is an array.
    """

    kind: ua.VariantType
    is_array: bool

    def fits(self, given: ua.Variant) -> bool:
        """Return whether a client has given a value of this type, or none."""
        if given.VariantType == _Kind.Null or self.kind == _Kind.Variant:
            return True
        return given.VariantType == self.kind and (
            given.Value is None or isinstance(given.Value, list) == self.is_array
        )


class StationMethods:
    """Carries out the methods of one station.

    Args:
        key: Key of the station.
        station: What the methods know of it.
        commands: Sends it commands.
        history: The history of parts.
    """

    def __init__(self, key: str, station: StationModel, commands: StationCommands, history: PartHistory) -> None:
        self._key, self._station, self._commands, self._history = key, station, commands, history
        pause, resume, trigger, select = self._pause, self._resume, self._trigger, self._select
        self._bound = {
            "VisionStateMachine.Halt": _Bound("operator", self._halt),
            "VisionStateMachine.Reset": _Bound("operator", self._reset),
            "AutomaticModeStateMachine.StartContinuous": _Bound("operator", _job(resume)),
            "AutomaticModeStateMachine.StartSingleJob": _Bound("operator", _job(trigger)),
            "AutomaticModeStateMachine.Stop": _Bound("operator", _error_alone(pause)),
            "AutomaticModeStateMachine.Abort": _Bound("operator", _error_alone(pause)),
            "RecipeManagement.PrepareRecipe": _Bound("operator", self._prepare),
            "RecipeManagement.UnprepareRecipe": _Bound("operator", self._unprepare),
            "RecipeManagement.GetRecipeListFiltered": _Bound(None, self._list_recipes),
            "ResultManagement.GetResultById": _Bound(None, self._result),
            "ResultManagement.GetResultComponentsById": _Bound(None, self._components),
            "ResultManagement.GetResultListFiltered": _Bound(None, self._list_results),
            "Inspection.Pause": _Bound("operator", _error_and_reason(pause)),
            "Inspection.Resume": _Bound("operator", _error_and_reason(resume)),
            "Inspection.Trigger": _Bound("operator", _error_and_reason(_part_second(trigger))),
            "Inspection.SelectRecipe": _Bound("operator", _error_and_reason(select)),
        }

    async def bind(self, server: Server, methods: dict[str, ua.NodeId]) -> None:
        """Let the server call the methods.

        Args:
            server: The server.
            methods: Ids of the methods' nodes, by `Object.Method`.
        """
        for name, node in methods.items():
            method = server.get_node(node)
            server.link_method(method, _called(self._bound[name], await _inputs(server, method)))

    async def _send(self, who: Caller, **fields: Any) -> Outcome:
        outcome = await self._commands.send(who, fields)
        said = "done" if outcome.error == 0 else f"refused: {outcome.reason}"
        await self._station.say(f"{fields['command']} by {who.person.name}: {said}")
        return outcome

    async def _pause(self, who: Caller, given: list[Any]) -> Outcome:
        return await self._send(who, command="pause")

    async def _resume(self, who: Caller, given: list[Any]) -> Outcome:
        return await self._send(who, command="resume")

    async def _trigger(self, who: Caller, given: list[Any]) -> Outcome:
        """Take a frame of a part: `given` has the part's id second, as StartSingleJob does."""
        identity = _identity(given[1])
        return await self._send(who, command="trigger", **({"part_id": identity} if identity else {}))

    async def _select(self, who: Caller, given: list[Any]) -> Outcome:
        name = _identity(given[0])
        if not name:
            return Outcome(UNKNOWN, "give the name of a recipe")
        return await self._send(who, command="recipe", name=name)

    async def _halt(self, who: Caller, given: list[Any]) -> Outputs:
        self._station.halted = True
        outcome = await self._pause(who, given)
        self._station.halted = outcome.error == 0
        await self._station.look_again()
        return [_int(outcome.error)]

    async def _reset(self, who: Caller, given: list[Any]) -> Outputs:
        if not self._station.halted:
            await self._station.say(f"Reset by {who.person.name}: refused: only what Halt has halted can be reset")
            return [_int(WRONG_STATE)]
        self._station.halted = False
        await self._station.look_again()
        return [_int(0)]

    async def _prepare(self, who: Caller, given: list[Any]) -> Outputs:
        name = _identity(given[0]) or _identity(given[1])
        outcome = await self._select(who, [name])
        return [_object(self._internal(name)), ua.Variant(outcome.error == 0, _Kind.Boolean), _int(outcome.error)]

    async def _unprepare(self, who: Caller, given: list[Any]) -> Outputs:
        """Refuse: a station always has a recipe or a bundle in force."""
        return [_object(self._internal(_identity(given[0]) or _identity(given[1]))), _int(WRONG_STATE)]

    async def _list_recipes(self, who: Caller, given: list[Any]) -> Outputs:
        wanted, prepared, most, first = _identity(given[0]), given[2], given[3], given[4]
        names = [name for name in self._station.recipes if wanted in ("", name)]
        in_force = self._station.recipe_in_force
        if prepared in (0, 1):  # FALSE_0, TRUE_1; DONTCARE_2
            names = [name for name in names if (name == in_force) is bool(prepared)]
        names = names[first or 0 :]
        kept = names[: min(most or MOST_RECIPES, MOST_RECIPES)]
        listed = ua.Variant([self._internal(name) for name in kept], _Kind.ExtensionObject, is_array=True)
        complete = ua.Variant(len(kept) == len(names), _Kind.Boolean)
        return [complete, _unsigned(len(kept)), _unsigned(0), listed, _int(0)]

    def _internal(self, name: str) -> Any:
        return internal_recipe(name, *self._station.bundle_of(name))

    async def _result(self, who: Caller, given: list[Any]) -> Outputs:
        part = await self._find(given[0])
        if part is None:
            return [_unsigned(0), _object(_ua.ResultDataType()), _int(UNKNOWN)]
        return [_unsigned(0), _object(result(part)), _int(0)]

    async def _components(self, who: Caller, given: list[Any]) -> Outputs:
        part = await self._find(given[0])
        shown = dict.fromkeys(_COMPONENTS, ua.Variant()) | {"ResultHandle": _unsigned(0), "Error": _int(0)}
        if part is None:
            no = ua.Variant(False, _Kind.Boolean)
            shown |= {"HasTransferableDataOnFile": no, "IsPartial": no, "IsSimulated": no}
            shown |= {"ResultState": _int(0), "Error": _int(UNKNOWN)}
        else:
            shown |= fields(result(part))
        return [shown[name] for name in _COMPONENTS]

    async def _find(self, identity: Any) -> ReceivedPart | None:
        return await asyncio.to_thread(self._history.part, self._key, _identity(identity))

    async def _list_results(self, who: Caller, given: list[Any]) -> Outputs:
        """Return results, newest first; only part, recipe and job are looked for."""
        wanted_state, most, first = given[0], min(given[9] or MOST_RESULTS, MOST_RESULTS), given[10] or 0
        recipe_name, job = _identity(given[3]) or _identity(given[4]), _identity(given[8])
        parts: list[ReceivedPart] = []
        if wanted_state in (None, 0, COMPLETED):
            parts = await asyncio.to_thread(
                self._history.find, self._key, _identity(given[2]), recipe_name, job, first, most + 1
            )
        listed = ua.Variant([result(part) for part in parts[:most]], _Kind.ExtensionObject, is_array=True)
        complete = ua.Variant(len(parts) <= most, _Kind.Boolean)
        return [complete, _unsigned(min(len(parts), most)), _unsigned(0), listed, _int(0)]


async def _inputs(server: Server, method: Node) -> list[_Input]:
    """Return the inputs of a method; it has no description of them if it has none."""
    try:
        described = await (await method.get_child("0:InputArguments")).read_value()
    except BadNoMatch:
        return []
    return [
        _Input(await data_type_to_variant_type(server.get_node(each.DataType)), each.ValueRank > 0)
        for each in described
    ]


def _called(bound: _Bound, wanted: list[_Input]) -> Callable[..., Awaitable[ua.CallMethodResult]]:
    """Return what asyncua calls: it checks who calls, and with which inputs."""

    async def call(parent: ua.NodeId, *inputs: ua.Variant) -> ua.CallMethodResult:
        who = caller.get()
        if bound.role is not None and not who.person.may(bound.role):
            return _refused(ua.StatusCodes.BadUserAccessDenied)
        if len(inputs) < len(wanted):
            return _refused(ua.StatusCodes.BadArgumentsMissing)
        if len(inputs) > len(wanted):
            return _refused(ua.StatusCodes.BadTooManyArguments)
        fits = [_GOOD if one.fits(given) else _MISMATCH for one, given in zip(wanted, inputs, strict=True)]
        if _MISMATCH in fits:
            return _refused(ua.StatusCodes.BadInvalidArgument, fits)
        outputs = await bound.do(who, [each.Value for each in inputs])
        return ua.CallMethodResult(OutputArguments=outputs)

    return call


def _refused(code: int, inputs: Sequence[ua.StatusCode] = ()) -> ua.CallMethodResult:
    return ua.CallMethodResult(StatusCode=ua.StatusCode(code), InputArgumentResults=list(inputs))


Ask = Callable[[Caller, list[Any]], Awaitable[Outcome]]


def _error_alone(ask: Ask) -> Do:
    async def do(who: Caller, given: list[Any]) -> Outputs:
        return [_int((await ask(who, given)).error)]

    return do


def _error_and_reason(ask: Ask) -> Do:
    async def do(who: Caller, given: list[Any]) -> Outputs:
        outcome = await ask(who, given)
        return [_int(outcome.error), ua.Variant(outcome.reason, _Kind.String)]

    return do


def _part_second(ask: Ask) -> Ask:
    """Return a function that takes the part's id as its only input."""
    return lambda who, given: ask(who, [None, *given])


def _job(ask: Ask) -> Do:
    """Return a method that starts a job; the job's id is that of the command."""

    async def do(who: Caller, given: list[Any]) -> Outputs:
        outcome = await ask(who, given)
        return [_object(_ua.JobIdDataType(Id=outcome.identity)), _int(outcome.error)]

    return do


def _identity(given: Any) -> str:
    """Return the id in an input: a text, or a structure with an `Id`; empty if there is none."""
    text = given if isinstance(given, str) else getattr(given, "Id", None)
    return text if isinstance(text, str) else ""


def _int(number: int) -> ua.Variant:
    return ua.Variant(number, _Kind.Int32)


def _unsigned(number: int) -> ua.Variant:
    return ua.Variant(number, _Kind.UInt32)


def _object(value: Any) -> ua.Variant:
    return ua.Variant(value, _Kind.ExtensionObject)
