"""Runs recipes of the official Python cookbook, unchanged, against `serve`.

Needs tinker-cookbook 0.6.1 and what `scripts/interop.mjs` installs beside it. Run anywhere:
python packages/server/scripts/interop_cookbook.py
Exit status 0 means that all went well.

The server is told to the recipes by TINKER_BASE_URL and HF_ENDPOINT alone. Data sets of the hub, which is not to be had, are
folders of the same names in the working directory, where their library looks first.
"""

import asyncio
import json
import os
import pathlib
import shutil
import sys
import tempfile
import time
import traceback

from interop import ROOT
from interop_serve import serve

# One whose recommended renderer needs no special tokens, which the small model has none of.
MODEL = "Qwen/Qwen3-8B-Base"
CONTEXT = 1024
SHIPPED = pathlib.Path(ROOT) / "packages/llama/model"
QUESTION = " Provide a numerical answer without units, written inside \\boxed{}."


def lines(path: pathlib.Path, rows: list) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def data_set(folder: pathlib.Path, name: str, splits: dict, config: str = "default") -> None:
    """A data set as one downloads it from the hub."""
    for split, rows in splits.items():
        lines(folder / name / config / f"{split}.jsonl", rows)
    files = [{"split": split, "path": f"{config}/{split}.jsonl"} for split in splits]
    card = json.dumps({"configs": [{"config_name": config, "data_files": files}]})
    (folder / name / "README.md").write_text(f"---\n{card}\n---\n")


def make_data(folder: pathlib.Path) -> None:
    questions = [f"How many hands has {name}?" for name in ("Mia", "Dan", "Alba", "Tom", "Rosa", "Ben", "Ada", "Leo")]
    answers = ["\\boxed{1}", "\\boxed{2}"]
    chats = [
        {"messages": [{"role": "user", "content": question + QUESTION}, {"role": "assistant", "content": answer}]}
        for question in questions
        for answer in answers
    ]
    lines(folder / "chats.jsonl", chats)
    sums = [{"question": question, "answer": "Two. #### 2"} for question in questions]
    data_set(folder, "openai/gsm8k", {"train": sums, "test": sums}, "main")
    pairs = [
        {
            "chosen": f"\n\nHuman: {question}\n\nAssistant: Two.",
            "rejected": f"\n\nHuman: {question}\n\nAssistant: Seven.",
        }
        for question in questions
    ]
    data_set(folder, "Anthropic/hh-rlhf", {"train": pairs, "test": pairs[:2]})


def make_model(folder: pathlib.Path) -> None:
    """The small model, as if it read longer texts: few-shot examples of recipes do not fit else."""
    shutil.copytree(SHIPPED, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "max_position_embeddings": CONTEXT}))


class Report:
    """What is checked, on standard output; what recipes and the server print goes to a file, whose end is shown with a failure."""

    def __init__(self, log: pathlib.Path):
        self.log, self.start = log, time.monotonic()
        self.out = os.fdopen(os.dup(1), "w")
        with log.open("w") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)

    def check(self, what: str, condition: bool) -> None:
        before, self.start = self.start, time.monotonic()
        print("ok    " if condition else "FAILED", f"{what} ({self.start - before:.0f} s)", file=self.out, flush=True)
        if not condition:
            raise AssertionError(what)

    def fail(self) -> None:
        traceback.print_exc()
        sys.stderr.flush()
        print("".join(self.log.read_text().splitlines(keepends=True)[-60:]), file=self.out, flush=True)


def metrics(log: pathlib.Path) -> list[dict]:
    return [json.loads(line) for line in (log / "metrics.jsonl").read_text().splitlines()]


def values(log: pathlib.Path, name: str) -> list[float]:
    return [row[name] for row in metrics(log) if name in row]


def run(folder: pathlib.Path, check) -> None:
    make_model(folder / "model")
    make_data(folder)
    os.chdir(folder)
    server, port = serve(str(folder / "data"), 0, "--model", f"{MODEL}={folder / 'model'}")
    os.environ["TINKER_BASE_URL"] = os.environ["HF_ENDPOINT"] = f"http://127.0.0.1:{port}"
    os.environ["HF_HOME"] = str(folder / "hub")
    try:
        import chz
        import tinker
        import torch
        from safetensors.torch import load_file
        from tinker_cookbook import weights
        from tinker_cookbook.recipes import rl_loop
        from tinker_cookbook.recipes.chat_sl import train as chat_sl
        from tinker_cookbook.recipes.math_rl import train as math_rl
        from tinker_cookbook.recipes.preference.dpo import train as dpo

        torch.set_num_threads(1)
        check("the cookbook is there", True)

        def options(config, log: str, *settings: str):
            common = [f"model_name={MODEL}", f"log_path={folder / log}"]
            return chz.entrypoint(config, argv=[*common, *settings])

        fresh = "behavior_if_log_dir_exists=delete"
        chat_sl.cli_main(
            options(
                chat_sl.CLIConfig, "sl", fresh, "dataset=chats.jsonl", "batch_size=8", "lora_rank=16",
                "learning_rate=0.01", "lr_schedule=linear", "num_epochs=30", "max_steps=24", "save_every=0",
                "eval_every=0", "max_length=512",
            )
        )  # fmt: skip
        losses = values(folder / "sl", "train_mean_nll")
        check(
            f"chat_sl trains ({losses[0]:.2f} to {losses[-1]:.2f} nats a token)",
            losses[-1] < losses[0] / 3,
        )

        record = json.loads((folder / "sl/checkpoints.jsonl").read_text().splitlines()[-1])
        weights.download(tinker_path=record["state_path"], output_dir=str(folder / "adapter"))
        adapter = load_file(folder / "adapter/adapter_model.safetensors")
        check(
            f"weights.download brings a training checkpoint, encrypted on its way ({len(adapter)} tensors)",
            len(adapter) > 0 and sorted(os.listdir(folder / "adapter"))
            == ["adapter_config.json", "adapter_model.safetensors"],
        )  # fmt: skip
        left = tinker.RestClient().list_user_checkpoints().result().checkpoints
        check("and leaves nothing behind", all(one.checkpoint_type != "external" for one in left))

        weights.build_hf_model(
            base_model=str(folder / "model"), adapter_path=str(folder / "adapter"), output_path=str(folder / "merged")
        )
        server.terminate()
        server.wait(60)
        server, _ = serve(str(folder / "data2"), port, "--model", f"{MODEL}={folder / 'merged'}")
        check(f"build_hf_model makes a folder that is served", server.poll() is None)

        for loss in ("importance_sampling", "gspo"):
            log = f"rl_loop_{loss}"
            rl_loop.main(
                options(
                    rl_loop.Config, log, f"loss_fn={loss}", "batch_size=4", "group_size=8", "max_tokens=16",
                    "max_steps=2", "lora_rank=8", "learning_rate=0.001",
                )
            )  # fmt: skip
            steps = values(folder / log, "unclipped_grad_l2:mean")
            rewards = values(folder / log, "reward/total")
            check(
                f"rl_loop with {loss} trains (rewards {rewards[0]:.2f}, {rewards[-1]:.2f})",
                len(steps) == 2 and all(step > 0 for step in steps),
            )

        for loss in ("importance_sampling", "gspo"):
            log = f"math_rl_{loss}"
            asyncio.run(
                math_rl.cli_main(
                    options(
                        math_rl.CLIConfig, log, fresh, f"loss_fn={loss}", "env=gsm8k", "groups_per_batch=4",
                        "group_size=8", "max_tokens=16", "max_steps=2", "lora_rank=8", "learning_rate=0.001",
                        "eval_every=0", "save_every=0",
                    )
                )
            )  # fmt: skip
            rewards = values(folder / log, "env/all/reward/total")
            check(f"math_rl with {loss} trains (rewards {rewards[0]:.2f}, {rewards[-1]:.2f})", len(rewards) >= 2)

        dpo.cli_main(
            options(
                dpo.CLIConfig, "dpo", fresh, "dataset=hhh", "batch_size=4", "max_length=512", "max_steps=2",
                "learning_rate=0.001", "lr_schedule=constant",
            )
        )  # fmt: skip
        losses = values(folder / "dpo", "dpo_loss")
        check(f"DPO trains ({losses[0]:.2f} to {losses[-1]:.2f})", losses[-1] < losses[0])
    finally:
        server.kill()


if __name__ == "__main__":
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    status = 0
    with tempfile.TemporaryDirectory() as folder:
        report = Report(pathlib.Path(folder) / "log.txt")
        try:
            run(pathlib.Path(folder), report.check)
        except BaseException:
            report.fail()
            status = 1
        os.chdir("/")
    # Threads of libraries are not waited for.
    os._exit(status)
