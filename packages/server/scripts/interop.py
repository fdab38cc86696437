"""Drives the server with the official Python SDK through a whole training run.

Needs `pip install tinker==0.38.0`. Run anywhere: python packages/server/scripts/interop.py
It starts a server of its own (`serve.ts`, with the bigram engine) and stops it. Exit status 0 means that all went well.
"""

import datetime
import json
import math
import os
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent.parent

os.environ.setdefault("TINKER_API_KEY", "tml-test")
os.environ["TINKER_TELEMETRY"] = "0"


def check(what: str, condition: bool) -> None:
    print(("ok    " if condition else "FAILED"), what, flush=True)
    if not condition:
        raise SystemExit(1)


def datum(types, tokens: list[int], **inputs):
    return types.Datum(
        model_input=types.ModelInput.from_ints(tokens[:-1]),
        loss_fn_inputs={"target_tokens": tokens[1:], **inputs},
    )


def run() -> None:
    import tinker
    from tinker import types

    service = tinker.ServiceClient()
    models = service.get_server_capabilities().supported_models
    check("lists its base model", [m.model_name for m in models] == ["bigram"])

    training = service.create_lora_training_client(base_model="bigram", rank=8).result()
    info = training.get_info()
    check("says what the model is", info.model_data.model_name == "bigram" and info.lora_rank == 8)

    text = list(b"abcdefgh")
    adam = types.AdamParams(learning_rate=0.2)
    data = [datum(types, text, weights=[1.0] * 7)]
    losses = []
    for _ in range(40):
        passed = training.forward_backward(data, "cross_entropy")
        step = training.optim_step(adam)
        losses.append(passed.result().metrics["loss:sum"])
        check_quietly("unclipped_grad_l2:mean" in (step.result().metrics or {}), "norm of the gradient")
    check(f"learns ({losses[0]:.2f} to {losses[-1]:.2f} nats)", losses[-1] < losses[0] / 10)

    forward = training.forward(data, "cross_entropy").result()
    logprobs = forward.loss_fn_outputs[0]["logprobs"].tolist()
    check("gives a log-probability a token", len(logprobs) == 7)
    check("whose sum is the loss", math.isclose(-sum(logprobs), forward.metrics["loss:sum"], rel_tol=1e-5))

    many = training.forward([datum(types, text, weights=[1.0] * 7)] * 2500, "cross_entropy").result()
    check("takes a batch in several chunks at once", len(many.loss_fn_outputs) == 2500)

    for loss_fn, config in [("importance_sampling", None), ("ppo", {"clip_low_threshold": 0.9})]:
        policy = [datum(types, text, logprobs=logprobs, advantages=[1.0] * 7)]
        metrics = training.forward_backward(policy, loss_fn, loss_fn_config=config).result().metrics
        check(f"computes {loss_fn}", math.isclose(metrics["loss:sum"], -7, rel_tol=1e-4))

    def custom(batch, logprobs):
        loss = -sum(row.sum() for row in logprobs)
        return loss, {"custom": float(loss)}

    try:
        import torch  # noqa: F401
    except ImportError:
        print("--     no torch here: custom losses not tried", flush=True)
    else:
        metrics = training.forward_backward_custom(data, custom).result().metrics
        check("computes custom losses", "custom" in metrics)
    training.optim_step(adam).result()

    try:
        training.forward_backward([datum(types, [1, 300], weights=[1.0])], "cross_entropy").result()
        check("refuses a token that is none", False)
    except tinker.RequestFailedError as error:
        check(f"refuses a token that is none: {error}", "vocabulary" in str(error))
    check("and goes on", training.forward(data, "cross_entropy").result().metrics["loss:sum"] < 10)

    sampling = training.save_weights_and_get_sampling_client().result()
    prompt = types.ModelInput.from_ints(list(b"a"))
    greedy = types.SamplingParams(max_tokens=7, temperature=0.0)
    answer = sampling.sample(prompt=prompt, num_samples=2, sampling_params=greedy).result()
    check("samples what it has learned", [bytes(s.tokens) for s in answer.sequences] == [b"bcdefgh"] * 2)
    check("names the sequences", len({s.sequence_id for s in answer.sequences}) == 2)
    sampled = sampling.compute_logprobs(types.ModelInput.from_ints(text)).result()
    trained = training.forward(data, "cross_entropy").result().loss_fn_outputs[0]["logprobs"].tolist()
    check("sampler and trainer agree", sampled[0] is None and sampled[1:] == trained)
    stopped = types.SamplingParams(max_tokens=7, temperature=0.0, stop=["de"])
    answer = sampling.sample(prompt=prompt, num_samples=1, sampling_params=stopped).result()
    check("stops after a stop string", bytes(answer.sequences[0].tokens) == b"bcde")
    topk = sampling.sample(
        prompt=types.ModelInput.from_ints(text), num_samples=1, sampling_params=greedy,
        include_prompt_logprobs=True, topk_prompt_logprobs=3,
    ).result().topk_prompt_logprobs
    check("gives the best tokens of the prompt", topk[0] is None and topk[1][0][0] == text[1] and len(topk[1]) == 3)

    path = training.save_state("final").result().path
    check(f"saves {path}", path.startswith("tinker://") and path.endswith("/weights/final"))
    for what, save in [("a state", training.save_state), ("weights", training.save_weights_for_sampler)]:
        save("taken").result()
        try:
            save("taken").result()
            check(f"refuses a name that is taken, of {what}", False)
        except tinker.RequestFailedError as error:
            told = "exists already" in str(error) and ("set overwrite" in str(error)) == (what == "a state")
            check(f"refuses a name that is taken, of {what}: {error}", told)
    again = training.save_state("final", overwrite=True).result().path
    check("saves again under a name when told to overwrite", again == path)

    resumed = service.create_training_client_from_state_with_optimizer(path).result()
    for client in (training, resumed):
        client.forward_backward(data, "cross_entropy").result()
        client.optim_step(adam).result()
    pair = [c.forward(data, "cross_entropy").result().metrics["loss:sum"] for c in (training, resumed)]
    check("goes on from a checkpoint exactly", pair[0] == pair[1])
    fresh = service.create_training_client_from_state(path).result()
    check("loads weights alone", fresh.forward(data, "cross_entropy").result().metrics["loss:sum"] < 10)

    empty = service.create_lora_training_client(base_model="bigram", rank=8).result()
    empty.load_state(path).result()
    check("loads into a model that exists", empty.forward(data, "cross_entropy").result().metrics["loss:sum"] < 10)

    named = training.save_weights_for_sampler("one").result().path
    other = service.create_sampling_client(model_path=named).result()
    answer = other.sample(prompt=prompt, num_samples=1, sampling_params=greedy).result()
    check("samples from a named checkpoint", bytes(answer.sequences[0].tokens) == b"bcdefgh")
    base = service.create_sampling_client(base_model="bigram").result()
    answer = base.sample(prompt=prompt, num_samples=3, sampling_params=types.SamplingParams(max_tokens=5)).result()
    check("samples from the base model", [len(s.tokens) for s in answer.sequences] == [5, 5, 5])

    housekeeping(tinker, training, path, named)

    try:
        service.create_lora_training_client(base_model="bigram", rank=1000).result()
        check("refuses a rank that is too large", False)
    except tinker.BadRequestError as error:
        check(f"refuses a rank that is too large: {error}", "64" in str(error))

    service.close("success").result()
    check("closes", True)


def housekeeping(tinker, training, path: str, sampler_path: str) -> None:
    """Lists what is there, and changes it from outside the session."""
    from tinker import types

    rest = tinker.RestClient(base_url=os.environ["TINKER_BASE_URL"])
    run = rest.get_training_run_by_tinker_path(path).result()
    check("tells of a training run", run.base_model == "bigram" and run.last_checkpoint.tinker_path == path)
    page = rest.list_training_runs(limit=1).result()
    check("lists training runs by pages", len(page.training_runs) == 1 and page.cursor.total_count > 1)
    listed = rest.list_checkpoints(run.training_run_id).result().checkpoints
    check("lists checkpoints", {path, sampler_path} <= {one.tinker_path for one in listed})
    mine = rest.list_user_checkpoints().result()
    check("lists the checkpoints of all runs", mine.cursor.total_count == len(mine.checkpoints) >= len(listed))

    def checkpoint():
        return next(c for c in rest.list_checkpoints(run.training_run_id).result().checkpoints if c.tinker_path == path)

    rest.publish_checkpoint_from_tinker_path(path).result()
    check("makes a checkpoint public", checkpoint().public)
    rest.unpublish_checkpoint_from_tinker_path(path).result()
    check("and takes that back", not checkpoint().public)
    rest.set_checkpoint_ttl_from_tinker_path(path, 3600).result()
    check("gives it an end", checkpoint().expires_at is not None)
    rest.set_checkpoint_ttl_from_tinker_path(path, None).result()
    check("and takes it away", checkpoint().expires_at is None)

    copy = rest.copy_weights(path, destination_project_id="project").result()
    check(f"copies a checkpoint to {copy}", rest.get_weights_info_by_tinker_path(copy).result().base_model == "bigram")
    rest.delete_checkpoint_from_tinker_path(copy).result()
    left = [c.tinker_path for c in rest.list_user_checkpoints().result().checkpoints]
    check("deletes a checkpoint", copy not in left and path in left)

    session_id = rest.list_sessions().result().sessions[0]
    session = rest.get_session(session_id).result()
    check("tells of a session", run.training_run_id in session.training_run_ids)
    sampler = rest.get_sampler(session.sampler_ids[0]).result()
    check("tells of a sampler", sampler.base_model == "bigram")
    rest.assign_session_project(session_id, "project").result()
    check("puts a session into a project", rest.list_training_runs(project_id="project").result().cursor.total_count > 0)
    found = rest.search_sessions(types.SessionSearchRequest(project_ids=["project"], limit=1)).result()
    check("searches sessions", [one.session_id for one in found.sessions] == [session_id])
    check("and says what became of them", found.sessions[0].status.type == "active")


def run_with_everything() -> None:
    """Tokens instead of keys, compressed requests, one poll for many samples, copies of clients, every score."""
    import pickle

    import tinker
    from tinker import types

    service = tinker.ServiceClient()
    training = service.create_lora_training_client(base_model="bigram", rank=8, user_metadata={"a": "b"}).result()
    text = list(b"abcdefgh")
    data = [datum(types, text, weights=[1.0] * 7)] * 100
    before = training.forward_backward(data, "cross_entropy").result().metrics["loss:sum"]
    training.optim_step(types.AdamParams(learning_rate=0.2)).result()
    after = training.forward(data, "cross_entropy").result().metrics["loss:sum"]
    check(f"learns from compressed requests, with a token ({before:.2f} to {after:.2f} nats)", after < before)

    sampling = training.save_weights_and_get_sampling_client().result()
    params = types.SamplingParams(max_tokens=3, temperature=1.0, seed=1)
    prompt = types.ModelInput.from_ints(text)
    many = [sampling.sample(prompt=prompt, num_samples=2, sampling_params=params) for _ in range(50)]
    check("answers many samples by one poll", all(len(one.result().sequences) == 2 for one in many))
    copy = pickle.loads(pickle.dumps(sampling))
    answer = copy.sample(prompt=prompt, num_samples=1, sampling_params=params).result()
    check("answers a copy of a client", len(answer.sequences[0].tokens) == 3)

    wanted = types.TensorData(data=[98, -1] * 7, dtype="int64", shape=[7, 2])
    answer = sampling.sample(
        prompt=prompt, num_samples=1, sampling_params=params, include_prompt_logprobs=True,
        topk_sample_logprobs=2, target_prompt_logprobs=wanted, prompt_alt_tokens_k=3, prompt_logprobs_last_n=2,
    ).result()
    check("scores the last tokens of the prompt alone", [p is None for p in answer.prompt_logprobs] == [True] * 6 + [False] * 2)
    check("names the best tokens of an answer", [len(row) for row in answer.sequences[0].topk_logprobs] == [2] * 3)
    scores = answer.target_prompt_logprobs
    check("scores chosen tokens", list(scores.shape) == [7, 2] and scores.data[0] < 0 and scores.data[1] == 0)
    check("draws other tokens", list(answer.prompt_alt_tokens.tokens.shape) == [7, 3])

    path = training.save_weights_external("out", ttl_seconds=3600).result().path
    check("exports an adapter", path.endswith("/external_weights/out"))
    training.save_state("final", user_metadata={"c": "d"}).result()
    rest = tinker.RestClient(base_url=os.environ["TINKER_BASE_URL"])
    run_id = training.get_info().model_id
    checkpoints = rest.list_checkpoints(run_id).result().checkpoints
    check("lists both", [(c.checkpoint_type, c.expires_at is None) for c in checkpoints] == [("external", False), ("training", True)])
    run = rest.get_training_run(run_id).result()
    told = (run.user_metadata, run.last_checkpoint.user_metadata, run.last_checkpoint.checkpoint_id)
    check("tells about the run", told == ({"a": "b"}, {"c": "d"}, "weights/final"))
    service.close("success").result()


def command_line(*arguments: str, fails: bool = False):
    """What the SDK's own command prints as JSON, in a process of its own."""
    command = [str(pathlib.Path(sys.executable).with_name("tinker")), "--format", "json", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    if fails:
        check(f"tinker {arguments[0]} {arguments[1]} fails as it should", done.returncode != 0)
        return done.stderr + done.stdout
    # Python's process sometimes aborts at its very end, after it has printed everything.
    ended = done.returncode == 0 or (done.returncode == -6 and done.stdout.strip() != "")
    if not ended:
        print(done.stdout, done.stderr, flush=True)
    check(f"tinker {' '.join(arguments[:2])}", ended)
    return json.loads(done.stdout) if done.stdout.strip().startswith(("{", "[")) else done.stdout


def our_command_line(*arguments: str):
    """What our command prints as JSON for the same words."""
    command = ["node", "--import", "tsx", "packages/cli/src/tinker.ts", *arguments, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=ROOT)
    if done.returncode != 0:
        print(done.stdout, done.stderr, flush=True)
        check(f"our tinker {' '.join(arguments[:2])}", False)
    return json.loads(done.stdout)


def instant(value: str):
    """The moment that a text names, if it names one: the two write times in different ways."""
    try:
        return datetime.datetime.fromisoformat(value.replace("Z", "+00:00")).timestamp()
    except ValueError:
        return value


def lacks(theirs, ours, where: str = "") -> list[str]:
    """What the one says and the other does not, or says otherwise. Nothing and null are the same; more is no matter."""
    if isinstance(theirs, dict):
        if not isinstance(ours, dict):
            return [f"{where}: {theirs} / {ours}"]
        return [found for key, value in theirs.items() for found in lacks(value, ours.get(key), f"{where}.{key}")]
    if isinstance(theirs, list):
        if not isinstance(ours, list) or len(ours) != len(theirs):
            return [f"{where}: {theirs} / {ours}"]
        return [found for i, value in enumerate(theirs) for found in lacks(value, ours[i], f"{where}[{i}]")]
    if isinstance(theirs, str) and isinstance(ours, str):
        return [] if instant(theirs) == instant(ours) else [f"{where}: {theirs} / {ours}"]
    if isinstance(theirs, float) or isinstance(ours, float):
        # What is stored grows while the two are asked.
        return [] if abs((theirs or 0) - (ours or 0)) <= 0.05 * max(1e-3, abs(theirs or 0)) else [f"{where}: {theirs} / {ours}"]
    return [] if theirs == ours else [f"{where}: {theirs} / {ours}"]


def both(*arguments: str) -> None:
    """The two commands print the same data."""
    missing = lacks(command_line(*arguments), our_command_line(*arguments))
    check(f"our tinker {' '.join(arguments[:2])} says the same {'; '.join(missing[:3])}", not missing)


def run_command_line() -> None:
    """Every command of the SDK's command line that a server must answer."""
    import tempfile

    import tinker
    from tinker import types

    service = tinker.ServiceClient()
    training = service.create_lora_training_client(base_model="bigram", rank=8).result()
    data = [datum(types, list(b"abcdefgh"), weights=[1.0] * 7)]
    training.forward_backward(data, "cross_entropy").result()
    training.optim_step(types.AdamParams(learning_rate=0.2)).result()
    path = training.save_state("one").result().path
    training.save_state("two").result()
    sampler = training.save_weights_for_sampler("three").result().path
    run_id = training.get_info().model_id

    check("names its base model", "bigram" in json.dumps(command_line("model", "list")))
    check("says whose key it is", "organization" in json.dumps(command_line("auth", "whoami")))
    command_line("auth", "status")
    check("lists the run", run_id in json.dumps(command_line("run", "list")))
    check("tells about the run", run_id in json.dumps(command_line("run", "info", run_id)))
    listed = json.dumps(command_line("checkpoint", "list"))
    check("lists all checkpoints", path in listed and sampler in listed)
    check("lists those of a run", path in json.dumps(command_line("checkpoint", "list", "--run-id", run_id)))
    check("tells about a checkpoint", path in json.dumps(command_line("checkpoint", "info", path)))
    for arguments in (
        ("model", "list"), ("model", "list", "BIG"), ("auth", "whoami"), ("run", "list"), ("run", "list", "--limit", "0"),
        ("run", "info", run_id), ("checkpoint", "list"), ("checkpoint", "list", "--limit", "2"),
        ("checkpoint", "list", "--run-id", run_id), ("checkpoint", "info", path), ("checkpoint", "info", sampler),
        ("billing", "checkpoint-storage"),
    ):
        both(*arguments)
    command_line("checkpoint", "publish", path)
    check("made it public", "true" in json.dumps(command_line("checkpoint", "info", path)).lower())
    command_line("checkpoint", "unpublish", path)
    command_line("checkpoint", "set-ttl", path, "--ttl", "7200")
    command_line("checkpoint", "set-ttl", path, "--remove")
    with tempfile.TemporaryDirectory() as folder:
        command_line("checkpoint", "download", path, "--output", folder)
        names = {file.name for file in pathlib.Path(folder).rglob("*") if file.is_file()}
        check(f"downloads an adapter: {sorted(names)}", {"adapter_config.json", "adapter_model.safetensors"} <= names)
    command_line("checkpoint", "delete", "-y", path)
    left = json.dumps(command_line("checkpoint", "list", "--run-id", run_id))
    check("deletes a checkpoint", path not in left and sampler in left)
    check("says that it is gone", path.split("/")[-1] in command_line("checkpoint", "info", path, fails=True))

    now = datetime.datetime.now(datetime.timezone.utc).replace(minute=0, second=0, microsecond=0)
    later = now + datetime.timedelta(hours=1)
    window = (now.strftime("%Y-%m-%dT%H:%M:%SZ"), later.strftime("%Y-%m-%dT%H:%M:%SZ"))
    usage = command_line("billing", "usage", *window)
    both("billing", "usage", *window)
    check("tells what was used", "bigram" in json.dumps(usage))
    command_line("billing", "checkpoint-storage")
    session_id = run_id.split(":")[0]
    command_line("session", "export-trace", session_id, "--url-only", fails=True)
    service.close("success").result()


NAMED_KEY = {"apiKeys": [{"key": "tml-test", "name": "tester"}], "jwt": {"lifetime": "10 minutes"}, "prices": {"gigabyteMonth": 0.1}}

EVERYTHING = {
    "apiKeys": ["tml-test"],
    "jwt": {"lifetime": "10 minutes"},
    "clientConfig": {
        "proto_compress_fwdbwd": True,
        "sample_use_retrieve_futures": True,
        "sample_join_sampling_session": True,
    },
}


def check_quietly(condition: bool, what: str) -> None:
    if not condition:
        check(what, False)


def against_server(options: dict, program) -> None:
    server = subprocess.Popen(
        ["node", "--import", "tsx", str(HERE / "serve.ts"), json.dumps(options)],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )
    try:
        address = server.stdout.readline().strip()
        if not address:
            sys.exit("the server did not start")
        os.environ["TINKER_BASE_URL"] = address
        program()
    finally:
        server.stdin.close()
        try:
            server.wait(timeout=10)
        except subprocess.TimeoutExpired:
            server.kill()


if __name__ == "__main__":
    against_server({}, run)
    against_server(EVERYTHING, run_with_everything)
    against_server(NAMED_KEY, run_command_line)
