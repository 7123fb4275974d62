// What links and checkpoints cost: single records of a linked table, a checkpoint over many changed keys, and a state
// that is put together from another one's. Items are records.
#include <benchmark/benchmark.h>

#include <filesystem>
#include <memory>
#include <string>

#include "config/assert.h"
#include "crypto/random.h"
#include "kvstore/checkpoint_tables.h"
#include "kvstore/checkpoints.h"
#include "kvstore/generation_writer.h"
#include "kvstore/lmdb_store.h"
#include "kvstore/state_builder.h"
#include "kvstore/state_machine.h"

namespace loyal::bench {
namespace {

using namespace loyal::kvstore;

constexpr std::size_t keys_stored = 1'000'000;
constexpr std::size_t keys_changed = 100'000;
constexpr std::uint64_t interval = 8192;
constexpr std::size_t generation_keys = 20'000;
constexpr std::size_t step_records = 4096;

const Salt salt = salt_of(crypto::digest_of("bench", {}));

template <class T>
T must(Result<T> result) {
    LOYAL_ASSERT(result.has_value(), "the benchmark's store works");
    if constexpr (!std::is_void_v<T>) {
        return std::move(*result);
    }
}

class Folder {
 public:
    Folder() : path_(std::filesystem::temp_directory_path() / ("loyal-bench-" + std::to_string(crypto::random_u64()))) {
        std::filesystem::create_directories(path_);
        store = must(LmdbStore::open({.path = path_ / "kv", .tables = StateMachine::state_tables(), .lazy = true}));
    }
    ~Folder() {
        store.reset();
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    Folder(const Folder&) = delete;
    Folder& operator=(const Folder&) = delete;

 private:
    std::filesystem::path path_;

 public:
    std::unique_ptr<LmdbStore> store;
};

// Keys in an order of which the store cannot make a sequence.
Bytes key_of(std::size_t number) {
    const crypto::Digest digest = crypto::digest_of("bench", view_of(std::to_string(number)));
    Bytes key = bytes_of("user" + digest.hex().substr(0, 20));
    return key;
}
Bytes record_of(std::uint64_t version) {
    KeyRecord record;
    record.id.revision = Revision(version);
    record.version = 1;
    record.value = Bytes(100, static_cast<std::uint8_t>(version));
    return encode_key_record(record.view());
}

// Writes `count` keys as the generations of a replica that executes up to `height`.
void write_keys(LmdbStore& store, std::size_t first, std::size_t count, std::uint64_t height, std::uint64_t from,
                std::uint64_t version) {
    for (std::size_t done = 0; done < count; done += generation_keys) {
        Generation generation;
        for (std::size_t i = done; i < std::min(count, done + generation_keys); ++i) {
            generation.table(StateTable::keys)[key_of(first + i)] = record_of(version);
        }
        const bool last = done + generation_keys >= count;
        generation.meta.height = consensus::Height(last ? height : from + 1);
        generation.meta.digests.emplace_back(generation.meta.height, crypto::Digest{});
        const auto txn = must(store.begin_write());
        must(write_generation(*txn, generation, consensus::Height(done == 0 ? from : from + 1), {salt, interval}));
        must(txn->commit(Durability::lazy));
    }
}

// One store for all: a million keys, executed up to the first checkpoint.
LmdbStore& full_store() {
    static Folder folder;
    static bool filled = false;
    if (!std::exchange(filled, true)) {
        write_keys(*folder.store, 0, keys_stored, interval, 0, 1);
        const auto checkpoints = must(Checkpoints::open(*folder.store, {salt, interval}));
        while (must(checkpoints->work(step_records))) {
        }
    }
    return *folder.store;
}

void linked_hit(benchmark::State& state) {
    LmdbStore& store = full_store();
    const auto txn = must(store.begin_read());
    std::size_t i = 0;
    for (auto _ : state) {
        benchmark::DoNotOptimize(must(linked_table(StateTable::keys).find(*txn, key_of(i++ * 7919 % keys_stored))));
    }
    state.SetItemsProcessed(state.iterations());
}
void linked_miss(benchmark::State& state) {
    LmdbStore& store = full_store();
    const auto txn = must(store.begin_read());
    std::size_t i = 0;
    for (auto _ : state) {
        benchmark::DoNotOptimize(must(linked_table(StateTable::keys).find(*txn, key_of(keys_stored + i++))));
    }
    state.SetItemsProcessed(state.iterations());
}
// Both in transactions of 1,000 that are taken back.
void linked_write(benchmark::State& state, std::size_t first) {
    LmdbStore& store = full_store();
    constexpr std::size_t batch = 1000;
    const Bytes content = record_of(2);
    std::size_t i = first;
    for (auto _ : state) {
        const auto txn = must(store.begin_write());
        for (std::size_t n = 0; n < batch; ++n) {
            must(linked_table(StateTable::keys).put(*txn, key_of(i++), content));
        }
    }
    state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(batch));
}
void linked_overwrite(benchmark::State& state) {
    linked_write(state, 0);
}
void linked_insert(benchmark::State& state) {
    linked_write(state, keys_stored);
}
BENCHMARK(linked_hit);
BENCHMARK(linked_miss);
BENCHMARK(linked_overwrite)->Iterations(100);
BENCHMARK(linked_insert)->Iterations(100);

// A hundred thousand of the million keys changed.
void take_checkpoint(benchmark::State& state) {
    LmdbStore& store = full_store();
    const auto checkpoints = must(Checkpoints::open(store, {salt, interval}));
    std::uint64_t height = must(read_meta(*must(store.begin_read())))->height.value;
    for (auto _ : state) {
        state.PauseTiming();
        write_keys(store, height % 7 * keys_changed, keys_changed, height + interval, height, height);
        height += interval;
        state.ResumeTiming();
        while (checkpoints->roots().back().height != consensus::Height(height)) {
            (void)must(checkpoints->work(step_records));
        }
        state.PauseTiming();
        while (must(checkpoints->work(step_records))) {  // forgets
        }
        state.ResumeTiming();
    }
    state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(keys_changed));
}
BENCHMARK(take_checkpoint)->Iterations(2)->Unit(benchmark::kMillisecond);

// The background write of the same keys, with and without what checkpoints need of it.
void write_back(benchmark::State& state) {
    LmdbStore& store = full_store();
    const std::uint64_t height = must(read_meta(*must(store.begin_read())))->height.value;
    std::uint64_t version = 100;
    Generation generation;
    generation.meta.height = consensus::Height(height + 1);
    generation.meta.digests.emplace_back(generation.meta.height, crypto::Digest{});
    for (std::size_t i = 0; i < generation_keys; ++i) {
        generation.table(StateTable::keys)[key_of(i * 31)] = record_of(++version);
    }
    const CheckpointOptions options{salt, state.range(0) != 0 ? interval : 0};
    for (auto _ : state) {
        const auto txn = must(store.begin_write());
        must(write_generation(*txn, generation, consensus::Height(height), options));
    }
    state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(generation_keys));
}
BENCHMARK(write_back)->Arg(0)->Arg(1)->Iterations(5)->Unit(benchmark::kMillisecond);

// The whole state, read from one store's checkpoint and put into another, finish() included.
void build_state(benchmark::State& state) {
    LmdbStore& source = full_store();
    const auto from = must(Checkpoints::open(source, {salt, interval}));
    const StateRoot target = from->roots().back();
    std::int64_t records = 0;
    for (auto _ : state) {
        Folder folder;
        const auto builder = must(StateBuilder::begin(*folder.store, {salt, interval}, target));
        for (Bucket bucket = 0; bucket < buckets; ++bucket) {
            const auto leaves = must(from->leaves(target.height, bucket));
            std::vector<LeafName> names;
            for (const Leaf& leaf : leaves) {
                names.push_back(leaf.name);
            }
            const auto content = must(from->records(target.height, names, 1U << 20U));
            records += static_cast<std::int64_t>(content.size());
            must(builder->put(bucket, leaves, content));
        }
        must(builder->finish());
    }
    state.SetItemsProcessed(records);
}
BENCHMARK(build_state)->Iterations(1)->Unit(benchmark::kMillisecond);

void open_checkpoints(benchmark::State& state) {
    LmdbStore& store = full_store();
    for (auto _ : state) {
        benchmark::DoNotOptimize(must(Checkpoints::open(store, {salt, interval})));
    }
}
BENCHMARK(open_checkpoints)->Iterations(3)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace loyal::bench
