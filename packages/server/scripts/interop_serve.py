"""Drives `serve`, with the model that comes along, by the official Python SDK, through a death of the server. Keys are exchanged
for tokens, which it forgets when it dies.

Needs `pip install tinker==0.38.0`. Run anywhere: python packages/server/scripts/interop_serve.py
Exit status 0 means that all went well.
"""

import json
import os
import signal
import subprocess
import tempfile

from interop import ROOT, check


def serve(folder: str, port: int = 0, *options: str) -> tuple[subprocess.Popen, int]:
    """The process, once it listens, and its port."""
    command = ["node", "--import", "tsx", "packages/cli/src/serve.ts", "--quiet", "--data", folder, "--port", str(port)]
    process = subprocess.Popen([*command, *options], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    line = process.stdout.readline()
    if not line.startswith("listening on "):
        raise SystemExit(f"the server did not start: {line}")
    return process, int(line.strip().rsplit(":", 1)[1])


def run(folder: str) -> None:
    settings = os.path.join(folder, "settings.json")
    with open(settings, "w") as file:
        json.dump({"token_lifetime_seconds": 600}, file)
    options = ("--settings", settings)
    server, port = serve(folder, 0, *options)
    os.environ["TINKER_BASE_URL"] = os.environ["HF_ENDPOINT"] = f"http://127.0.0.1:{port}"
    os.environ["HF_HOME"] = os.path.join(folder, "hub")
    try:
        import tinker
        from tinker import types

        service = tinker.ServiceClient()
        user = tinker.RestClient().whoami().result()
        check(f"tells who one is ({user.user_urn})", user.user_urn != "")
        model = tinker.RestClient().get_server_capabilities().result().supported_models[0].model_name
        training = service.create_lora_training_client(base_model=model, rank=8, seed=1).result()
        words = training.get_tokenizer().encode("The sun is warm.")
        check("gives the tokenizer of a model", training.get_tokenizer().decode(words) == "The sun is warm.")
        tokens = [20 + 7 * i % 60 for i in range(24)]
        data = [
            types.Datum(
                model_input=types.ModelInput.from_ints(tokens[:-1]),
                loss_fn_inputs={"target_tokens": tokens[1:], "weights": [1.0] * 23},
            )
        ]

        def step() -> float:
            passed = training.forward_backward(data, "cross_entropy")
            training.optim_step(types.AdamParams(learning_rate=0.01)).result()
            return passed.result().metrics["loss:sum"]

        losses = [step() for _ in range(20)]
        check(f"trains {model} ({losses[0]:.2f} to {losses[-1]:.2f} nats)", losses[-1] < losses[0] / 10)

        sampling = training.save_weights_and_get_sampling_client().result()
        check("and of a sampler", sampling.get_tokenizer().encode("The sun is warm.") == words)
        prompt = types.ModelInput.from_ints(tokens[:8])
        greedy = types.SamplingParams(max_tokens=16, temperature=0.0)

        def sample() -> list[int]:
            return list(sampling.sample(prompt, 1, greedy).result().sequences[0].tokens)

        check("goes on with a text that it was trained on", sample() == tokens[8:])
        forward = training.forward(data, "cross_entropy").result().loss_fn_outputs[0]["logprobs"].tolist()
        scored = sampling.compute_logprobs(types.ModelInput.from_ints(tokens)).result()[1:]
        distance = max(abs(a - b) for a, b in zip(forward, scored))
        check(f"scores as it trains (to {distance:.0e} nats)", distance < 1e-3)

        server.send_signal(signal.SIGKILL)
        server.wait()
        server, _ = serve(folder, port, *options)
        check("samples the same after a kill", sample() == tokens[8:])
        loss = step()
        check(f"trains on after a kill ({loss:.2f} nats)", loss < losses[-1] * 1.2)

        server.send_signal(signal.SIGTERM)
        check("ends when it is told to", server.wait(60) == 0)
    finally:
        server.kill()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        run(folder)
