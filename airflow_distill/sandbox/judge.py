"""A judge of answers, for prompts that show two answers or one and ask which is better or how good it is.

Deterministic. It compares answers with the reference when the prompt shows one, otherwise with the question. Its
weaknesses are chosen by the user of the sandbox: love of the first position, love of length, obedience to instructions
hidden in an answer, malformed output.
"""

from __future__ import annotations

from airflow_distill.sandbox.brains import Brain


class Judge:
    """Reads a judging prompt; returns None for any other prompt."""

    def reset(self) -> None:
        """Forget all biases."""

    def configure(self, **settings: object) -> dict[str, object]:
        """Choose weaknesses."""
        return dict(settings)

    def judgement(self, prompt: str, system: str) -> str | None:
        """The judge's answer, when the prompt asks for a judgement."""
        return None


class WithJudge:
    """A model that can judge and otherwise answers like another brain."""

    def __init__(self, judge: Judge, otherwise: Brain) -> None:
        self._judge = judge
        self._otherwise = otherwise

    def answer(self, prompt: str, system: str = "") -> str:
        judged = self._judge.judgement(prompt, system)
        return self._otherwise.answer(prompt, system) if judged is None else judged
