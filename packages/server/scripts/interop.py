"""Drives the server with the official Python SDK through a whole training run.

Needs `pip install tinker==0.38.0`. Run anywhere: python packages/server/scripts/interop.py
It starts a server of its own (`serve.ts`, with the bigram engine) and stops it. Exit status 0 means that all went well.
"""

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
    # Without it the SDK would take the refusal for a passing one, and repeat its request for five minutes.
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

    try:
        service.create_lora_training_client(base_model="bigram", rank=1000).result()
        check("refuses a rank that is too large", False)
    except tinker.BadRequestError as error:
        check(f"refuses a rank that is too large: {error}", "64" in str(error))

    service.close("success").result()
    check("closes", True)


def check_quietly(condition: bool, what: str) -> None:
    if not condition:
        check(what, False)


def main() -> None:
    server = subprocess.Popen(
        ["node", "--import", "tsx", str(HERE / "serve.ts")],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )
    try:
        address = server.stdout.readline().strip()
        if not address:
            sys.exit("the server did not start")
        os.environ["TINKER_BASE_URL"] = address
        run()
    finally:
        server.stdin.close()
        try:
            server.wait(timeout=10)
        except subprocess.TimeoutExpired:
            server.kill()


if __name__ == "__main__":
    main()
