// Hashing, signing, checking and sealing: PROTOCOL.md §19 counts how often each happens for a block.
#include <benchmark/benchmark.h>

#include "bench/fixture.h"
#include "crypto/digest.h"
#include "crypto/seal.h"

namespace loyal::bench {
namespace {

void hash(benchmark::State& state) {
    const Bytes data(static_cast<std::size_t>(state.range(0)), 0x5a);
    for (auto _ : state) {
        benchmark::DoNotOptimize(crypto::digest_of("bench", data));
    }
    state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(hash)->Arg(64)->Arg(320)->Arg(4096)->Arg(1 << 20);

void sign_vote(benchmark::State& state) {
    const Fixture fixture;
    const Bytes message = consensus::signed_bytes(fixture.context, consensus::SignDomain::vote,
                                                  consensus::vote_content(consensus::Vote{}));
    for (auto _ : state) {
        benchmark::DoNotOptimize(fixture.leader.sign(message));
    }
}
BENCHMARK(sign_vote);

void verify_vote(benchmark::State& state) {
    const Fixture fixture;
    const Bytes message = consensus::signed_bytes(fixture.context, consensus::SignDomain::vote,
                                                  consensus::vote_content(consensus::Vote{}));
    const auto signature = fixture.leader.sign(message);
    const crypto::Ed25519Verifier verifier;
    for (auto _ : state) {
        if (!verifier.verify(fixture.leader.public_key(), message, signature)) {
            state.SkipWithError("the signature did not verify");
        }
    }
}
BENCHMARK(verify_vote);

void seal_record(benchmark::State& state) {
    const Bytes key(key_bytes, 'k');
    const Bytes content(static_cast<std::size_t>(state.range(0)), 'v');
    for (auto _ : state) {
        benchmark::DoNotOptimize(crypto::seal("kv", key, content));
    }
}
BENCHMARK(seal_record)->Arg(256)->Arg(4096);

void unseal_record(benchmark::State& state) {
    const Bytes key(key_bytes, 'k');
    const Bytes sealed = crypto::seal("kv", key, Bytes(static_cast<std::size_t>(state.range(0)), 'v'));
    for (auto _ : state) {
        if (!crypto::unseal("kv", key, sealed)) {
            state.SkipWithError("the seal did not verify");
        }
    }
}
BENCHMARK(unseal_record)->Arg(256)->Arg(4096);

}  // namespace
}  // namespace loyal::bench
