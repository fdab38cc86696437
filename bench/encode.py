"""Builds the data of training passes and encodes the request, and decodes a result, and prints what that costs."""

import json
import time

import numpy as np
from tinker import types
from tinker.proto import tinker_public_pb2 as pb
from tinker.proto.request_conv import forward_backward_request_to_proto
from tinker.proto.response_conv import deserialize_forward_backward_output


def repeat(times, one_pass):
    one_pass()
    milliseconds = []
    cpu = time.process_time()
    for _ in range(times):
        start = time.perf_counter()
        one_pass()
        milliseconds.append(1000 * (time.perf_counter() - start))
    cpu = 1000 * (time.process_time() - cpu) / times
    return {"cpu": cpu, "wall": sorted(milliseconds)[times // 2]}


def encode(data):
    request = types.ForwardBackwardRequest(
        forward_backward_input=types.ForwardBackwardInput(data=data, loss_fn="cross_entropy"),
        model_id="session:train:0",
        seq_id=1,
    )
    return forward_backward_request_to_proto(request).SerializeToString()


def build(rows, tokens, targets, weights):
    return encode(
        [
            types.Datum(
                model_input=types.ModelInput.from_ints(tokens),
                loss_fn_inputs={"target_tokens": targets, "weights": weights},
            )
            for _ in range(rows)
        ]
    )


def from_arrays(rows, length):
    # Tokens are a list in either case: the SDK's model input takes nothing else.
    tokens = [(i * 7919) % 150_000 for i in range(length)]
    targets = np.array([((i + 1) * 7919) % 150_000 for i in range(length)], dtype=np.int64)
    weights = np.ones(length, dtype=np.float32)
    return repeat(10, lambda: build(rows, tokens, targets, weights))


def from_lists(rows, length):
    tokens = [(i * 7919) % 150_000 for i in range(length)]
    targets = [((i + 1) * 7919) % 150_000 for i in range(length)]
    weights = [1.0] * length
    return repeat(5, lambda: build(rows, tokens, targets, weights))


def decode(rows, length):
    logprobs = pb.BatchedTensor(
        data=np.full(rows * length, -0.5, dtype=np.float32).tobytes(),
        offsets=(4 * length * np.arange(rows + 1, dtype=np.int64)).tobytes(),
        dtype=pb.DTYPE_FLOAT32,
    )
    output = pb.ForwardBackwardOutput(
        loss_fn_output_type="ArrayRecord",
        loss_fn_outputs=[pb.ArrayRecord(type_tag="ArrayRecord", fields={"logprobs": logprobs}, num_datums=rows)],
        metrics={"loss:sum": 1.0},
    ).SerializeToString()
    return repeat(100, lambda: deserialize_forward_backward_output(output))


print(
    json.dumps(
        {
            "longFromArrays": from_arrays(10, 65_536),
            "longFromLists": from_lists(10, 65_536),
            "manyFromArrays": from_arrays(128, 2048),
            "manyFromLists": from_lists(128, 2048),
            "decode": decode(128, 2048),
        }
    )
)
