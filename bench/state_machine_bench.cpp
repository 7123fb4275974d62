// Execution of blocks into the overlay, and the overlay's way to disk. Items are operations.
#include <benchmark/benchmark.h>

#include <filesystem>
#include <memory>
#include <string>

#include "bench/fixture.h"
#include "config/assert.h"
#include "crypto/random.h"
#include "kvstore/lmdb_store.h"
#include "kvstore/state_machine.h"

namespace loyal::bench {
namespace {

constexpr std::size_t operations_per_envelope = 32;
constexpr std::size_t overlay_full_bytes = 8U << 20U;

// A state machine over LMDB in a folder of its own, gone at the end.
class Machine {
 public:
    explicit Machine(const consensus::ClientId& client)
        : folder_(std::filesystem::temp_directory_path() / ("loyal-bench-" + std::to_string(crypto::random_u64()))) {
        std::filesystem::create_directories(folder_);
        auto store = kvstore::LmdbStore::open(
            {.path = folder_ / "kv", .tables = kvstore::StateMachine::state_tables(), .lazy = true});
        LOYAL_ASSERT(store.has_value(), "the benchmark's store opens");
        store_ = std::move(*store);
        kvstore::StateMachineOptions options;
        options.clients[client] = kvstore::client_with("bench", {}, kvstore::right_read | kvstore::right_write);
        auto machine = kvstore::StateMachine::open(*store_, std::move(options));
        LOYAL_ASSERT(machine.has_value(), "the benchmark's state machine opens");
        machine_ = std::move(*machine);
    }
    ~Machine() {
        machine_.reset();
        store_.reset();
        std::error_code ignored;
        std::filesystem::remove_all(folder_, ignored);
    }
    Machine(const Machine&) = delete;
    Machine& operator=(const Machine&) = delete;

    // False when an operation did not go through, which would make the figures worthless.
    [[nodiscard]] bool execute(const consensus::Block& block) {
        const auto executed = machine_->execute(block);
        if (!executed) {
            return false;
        }
        for (const kvstore::Replies& replies : executed->replies) {
            for (const kvstore::Outcome& outcome : replies.outcomes) {
                if (outcome.status != kvstore::Status::ok) {
                    return false;
                }
            }
        }
        return true;
    }
    [[nodiscard]] bool write_to_disk() {
        if (!machine_->freeze() || !machine_->write_frozen(kvstore::Durability::lazy)) {
            return false;
        }
        machine_->drop_frozen();
        return true;
    }
    [[nodiscard]] std::size_t overlay_bytes() const { return machine_->overlay_bytes(); }

 private:
    std::filesystem::path folder_;
    std::unique_ptr<kvstore::LmdbStore> store_;
    std::unique_ptr<kvstore::StateMachine> machine_;
};

// Execution alone: the overlay is emptied outside the measured time.
void execute_block(benchmark::State& state) {
    Fixture fixture;
    Machine machine(fixture.client_id);
    const auto envelopes = static_cast<std::size_t>(state.range(0));
    for (auto _ : state) {
        state.PauseTiming();
        const auto block = fixture.next_block(envelopes, operations_per_envelope);
        if (machine.overlay_bytes() > overlay_full_bytes && !machine.write_to_disk()) {
            state.SkipWithError("the overlay could not be written");
            break;
        }
        state.ResumeTiming();
        if (!machine.execute(*block)) {
            state.SkipWithError("an operation failed");
            break;
        }
    }
    state.SetItemsProcessed(state.iterations() * state.range(0) * static_cast<std::int64_t>(operations_per_envelope));
}
BENCHMARK(execute_block)->Arg(1)->Arg(16)->Unit(benchmark::kMicrosecond);

// Execution and the background write together, as a replica under steady load does them on one core.
void execute_and_write(benchmark::State& state) {
    Fixture fixture;
    Machine machine(fixture.client_id);
    constexpr std::size_t blocks_per_write = 32;
    for (auto _ : state) {
        state.PauseTiming();
        std::vector<consensus::BlockPtr> blocks;
        for (std::size_t i = 0; i < blocks_per_write; ++i) {
            blocks.push_back(fixture.next_block(16, operations_per_envelope));
        }
        state.ResumeTiming();
        for (const auto& block : blocks) {
            if (!machine.execute(*block)) {
                state.SkipWithError("an operation failed");
                return;
            }
        }
        if (!machine.write_to_disk()) {
            state.SkipWithError("the overlay could not be written");
            return;
        }
    }
    state.SetItemsProcessed(state.iterations() *
                            static_cast<std::int64_t>(blocks_per_write * 16 * operations_per_envelope));
}
BENCHMARK(execute_and_write)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace loyal::bench
