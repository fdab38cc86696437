"""Drives the server with a Python SDK of another version, older than that of `interop.py`: a run from the first step to
the files of a checkpoint.

Run anywhere with the version to try: python packages/server/scripts/interop_older.py
`npm run interop` does it with 0.25.0, which trains in protobuf; 0.18.0, which trains in JSON and needs orjson too, was tried as well. Exit status 0 means that all went well.
"""

import json
import os
import pathlib
import subprocess
import sys
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent.parent

os.environ.setdefault("TINKER_API_KEY", "tml-test")


def check(what: str, condition: bool) -> None:
    print(("ok    " if condition else "FAILED"), what, flush=True)
    if not condition:
        raise SystemExit(1)


def run() -> None:
    import tinker
    from tinker import types

    service = tinker.ServiceClient()
    models = service.get_server_capabilities().supported_models
    check("lists its base model", [m.model_name for m in models] == ["bigram"])
    training = service.create_lora_training_client(base_model="bigram", rank=8)
    check("says what the model is", training.get_info().model_data.model_name == "bigram")

    text = list(b"abcdefgh")
    data = [
        types.Datum(
            model_input=types.ModelInput.from_ints(text[:-1]),
            loss_fn_inputs={"target_tokens": text[1:], "weights": [1.0] * 7},
        )
    ]
    adam = types.AdamParams(learning_rate=0.2)
    losses = []
    for _ in range(40):
        passed = training.forward_backward(data, "cross_entropy")
        training.optim_step(adam).result()
        losses.append(passed.result().metrics["loss:sum"])
    check(f"learns ({losses[0]:.2f} to {losses[-1]:.2f} nats)", losses[-1] < losses[0] / 10)
    logprobs = training.forward(data, "cross_entropy").result().loss_fn_outputs[0]["logprobs"].tolist()
    check("gives a log-probability a token", len(logprobs) == 7)

    prompt = types.ModelInput.from_ints(list(b"a"))
    greedy = types.SamplingParams(max_tokens=7, temperature=0.0)
    sampling = training.save_weights_and_get_sampling_client()
    answer = sampling.sample(prompt=prompt, num_samples=2, sampling_params=greedy).result()
    check("samples what it has learned", [bytes(s.tokens) for s in answer.sequences] == [b"bcdefgh"] * 2)
    scored = sampling.compute_logprobs(types.ModelInput.from_ints(text)).result()
    check("sampler and trainer agree", scored[0] is None and scored[1:] == logprobs)

    path = training.save_state("final").result().path
    resumed = service.create_training_client_from_state_with_optimizer(path)
    for client in (training, resumed):
        client.forward_backward(data, "cross_entropy").result()
        client.optim_step(adam).result()
    pair = [c.forward(data, "cross_entropy").result().metrics["loss:sum"] for c in (training, resumed)]
    check("goes on from a checkpoint exactly", pair[0] == pair[1])

    try:
        training.forward_backward([types.Datum(
            model_input=types.ModelInput.from_ints([1]),
            loss_fn_inputs={"target_tokens": [300], "weights": [1.0]},
        )], "cross_entropy").result()
        check("refuses a token that is none", False)
    except tinker.RequestFailedError as error:
        check("refuses a token that is none", "vocabulary" in str(error))

    rest = service.create_rest_client()
    run_id = training.model_id
    listed = rest.list_checkpoints(run_id).result().checkpoints
    check("lists checkpoints", {"weights/final"} <= {one.checkpoint_id for one in listed})
    check("tells of a training run", rest.get_training_run(run_id).result().base_model == "bigram")
    named = training.save_weights_for_sampler("files").result().path
    url = rest.get_checkpoint_archive_url_from_tinker_path(named).result().url
    with urllib.request.urlopen(url) as reply:
        check("gives a checkpoint's files as one archive", b"adapter_model.safetensors" in reply.read())


def main() -> None:
    options = json.dumps({"archives": True})
    server = subprocess.Popen(
        ["node", "--import", "tsx", str(HERE / "serve.ts"), options], cwd=ROOT, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, text=True,
    )
    try:
        os.environ["TINKER_BASE_URL"] = server.stdout.readline().strip()
        run()
    finally:
        server.stdin.close()
        server.wait(timeout=30)


if __name__ == "__main__":
    main()
    # Threads of the SDK may outlive the run.
    sys.stdout.flush()
    os._exit(0)
