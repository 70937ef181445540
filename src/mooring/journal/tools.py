"""Tools: a call of kind `tool` whose intent and result each stand in one fenced transaction with the run's event."""

import msgspec

from mooring.storage import Tx

from .attempts import lease_lost
from .records import AttemptIntent, AttemptResult, CallAnswer, NewCall, RunRef
from .repository import attempts, calls, runs
from .repository.calls import Closed
from .runs import Runs
from .waiting import run_channel


class Tools(Runs):
    """`begin_tool` and `finish_tool`."""

    async def begin_tool(self, run: RunRef, call: NewCall, intent: AttemptIntent, *, event_payload: bytes) -> None:
        """Write the call, its attempt and the event `tool.started`; the tool may run once this returns.

        A call that is there already (an uncertain one, tried again by its tool's rule) is opened again.

        Raises:
            LeaseLost: another worker owns the run.
            BudgetExceeded: a cap would be passed.
            KeyTaken: another call has the key.
            With each of them nothing was written.
        """
        call = msgspec.structs.replace(call, run=run)
        intent = msgspec.structs.replace(intent, run=run)
        request = await self._pack_call(call)
        windows = await self._windows(intent)
        payload = await self._pack_event(run.run_id, event_payload)
        price = attempts.price_text(intent.price)
        at_us = self._now()

        def begin(tx: Tx) -> None:
            self._event(tx, run.run_id, run.epoch, "tool.started", payload=payload, call_id=call.id)
            if not calls.reopen(tx, call.project_id, call.id, self.process_id):
                self._open_call(tx, call, request, at_us)
            self._intend(tx, intent, windows=windows, price=price, at_us=at_us, is_fenced=True)

        await self._write_intent(intent, begin)
        self._wakeups.notify(run_channel(run.run_id))

    async def finish_tool(
        self, run: RunRef, result: AttemptResult, answer: CallAnswer, *, event_payload: bytes
    ) -> None:
        """Write the result, close the call, and write the event `tool.finished`.

        Raises:
            LeaseLost: another worker owns the run. The result was taken all the same; the event was not written.
        """
        known = await self._recall(result.attempt_id)
        body = await self._pack_answer(known.project_id, known.call_id, answer.body)
        payload = await self._pack_event(run.run_id, event_payload)
        at_us = self._now()

        def finish(tx: Tx) -> tuple[Closed | None, bool]:
            fenced = runs.next_seq(tx, run.run_id, run.epoch)
            reserved = self._conclude(tx, result, at_us)
            if reserved is None:
                found = attempts.reserved(tx, result.attempt_id)
                closed, call_id = None, found.call_id if found else None
            else:
                call_id = reserved.call_id
                closed = self._close(tx, call_id, answer, body, at_us)
            if fenced is not None:
                seq, project_id = fenced
                runs.add_event(
                    tx, project_id, run.run_id, seq, kind="tool.finished", payload=payload, call_id=call_id, at_us=at_us
                )
                self._contents.write(tx, project_id, payload)
            return closed, fenced is not None

        closed, has_lease = await self._database.write_async(finish, locks=known.locks)
        self._open.pop(result.attempt_id, None)
        self._tell(closed)
        if not has_lease:
            raise lease_lost()
        self._wakeups.notify(run_channel(run.run_id))
