// A proposal on its way: encoding at the leader, decoding (with its bounds, body root and envelopes) at a backup.
#include <benchmark/benchmark.h>

#include "bench/fixture.h"
#include "wire/codec.h"

namespace loyal::bench {
namespace {

void encode_proposal(benchmark::State& state) {
    Fixture fixture;
    const consensus::PeerMessage message =
        consensus::Propose{fixture.next_block(static_cast<std::size_t>(state.range(0)), 32), consensus::Height(0)};
    std::size_t bytes = 0;
    for (auto _ : state) {
        const Bytes frame = wire::encode(message);
        bytes = frame.size();
        benchmark::DoNotOptimize(frame.data());
    }
    state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(bytes));
}
BENCHMARK(encode_proposal)->Arg(1)->Arg(8)->Arg(64);

void decode_proposal(benchmark::State& state) {
    Fixture fixture;
    const Bytes frame = wire::encode(consensus::PeerMessage(
        consensus::Propose{fixture.next_block(static_cast<std::size_t>(state.range(0)), 32), consensus::Height(0)}));
    for (auto _ : state) {
        if (!wire::decode_peer(fixture.context, frame)) {
            state.SkipWithError("a frame of our own did not decode");
        }
    }
    state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(frame.size()));
}
BENCHMARK(decode_proposal)->Arg(1)->Arg(8)->Arg(64);

}  // namespace
}  // namespace loyal::bench
