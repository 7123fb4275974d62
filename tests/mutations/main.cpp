// loyal-mutations: makes valid receipts and proofs of state, mutates them, and fails when a mutant verifies and proves
// what is false, or what another proof by the same replicas proves with other bytes (docs/RECEIPTS.md).
//
//   loyal-mutations --count 10000000 --seed 1 --jobs 2
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "tests/mutations/proof_mutator.h"
#include "tests/mutations/proof_world.h"

namespace {

using namespace loyal;

struct Tally {
    std::uint64_t mutants = 0;
    std::uint64_t unreadable = 0;  // no proof file, damaged, or malformed
    std::uint64_t refused = 0;     // well-formed, and proves nothing
    std::uint64_t unchanged = 0;   // a valid proof again, byte for byte
    std::uint64_t other_true = 0;  // another proof, of something true: an absent key for another, other signers
    std::vector<std::string> failures;

    void add(const Tally& other) {
        mutants += other.mutants;
        unreadable += other.unreadable;
        refused += other.refused;
        unchanged += other.unchanged;
        other_true += other.other_true;
        failures.insert(failures.end(), other.failures.begin(), other.failures.end());
    }
};

constexpr std::size_t failures_shown = 5;

void judge(const mutations::ProofWorld& world, const std::set<Bytes>& valid, const Bytes& file, Tally& tally) {
    ++tally.mutants;
    const auto proof = proof::decode_proof(file);
    if (!proof) {
        ++tally.unreadable;
        return;
    }
    const auto proven = world.verifier().check(*proof);
    if (!proven) {
        ++tally.refused;
        return;
    }
    const std::string objection = world.objection(file, *proof, *proven);
    if (!objection.empty()) {
        if (tally.failures.size() < failures_shown) {
            tally.failures.push_back(objection + ": " + to_hex(file));
        }
    } else if (valid.contains(file)) {
        ++tally.unchanged;
    } else {
        ++tally.other_true;
    }
}

Tally run(const mutations::ProofWorld& world, std::uint64_t count, std::uint64_t seed) {
    const std::set<Bytes> valid(world.proofs().begin(), world.proofs().end());
    mutations::ProofMutator mutator(world.proofs(), world.keys(), seed);
    Tally tally;
    while (tally.mutants < count && tally.failures.empty()) {
        judge(world, valid, mutator.next(), tally);
    }
    return tally;
}

Tally run_jobs(const mutations::ProofWorld& world, std::uint64_t count, std::uint64_t seed, std::uint64_t jobs) {
    std::mutex mutex;
    Tally total;
    std::vector<std::thread> threads;
    for (std::uint64_t job = 0; job < jobs; ++job) {
        threads.emplace_back([&, job] {
            const Tally tally = run(world, count / jobs + (job < count % jobs ? 1 : 0), seed * 1'000 + job);
            const std::lock_guard lock(mutex);
            total.add(tally);
        });
    }
    for (std::thread& thread : threads) {
        thread.join();
    }
    return total;
}

int report(const char* model, const mutations::ProofWorld& world, const Tally& tally) {
    fmt::print(
        "{}: {} mutants of {} proofs: {} unreadable, {} refused, {} unchanged, {} prove something else that is "
        "true, {} FALSE\n",
        model, tally.mutants, world.proofs().size(), tally.unreadable, tally.refused, tally.unchanged, tally.other_true,
        tally.failures.size());
    for (const std::string& failure : tally.failures) {
        fmt::print("  {}\n", failure);
    }
    (void)std::fflush(stdout);
    return tally.failures.empty() ? 0 : 1;
}

// A few of each kind, as fuzz_proof.cpp reads them.
void write_corpus(const mutations::ProofWorld& world, std::uint8_t model, const std::string& folder) {
    constexpr std::size_t content_at = 8 + 2 + 1 + 32 + 4;
    constexpr std::size_t checksum_bytes = 32;
    for (std::size_t i = 0; i < world.proofs().size(); i += 17) {
        const Bytes& proof = world.proofs()[i];
        std::ofstream file(folder + "/" + (model == 0 ? "byzantine_" : "crash_") + std::to_string(i), std::ios::binary);
        file.put(static_cast<char>(model | (proof[10] - 1U)));
        file.write(reinterpret_cast<const char*>(proof.data() + content_at),
                   static_cast<std::streamsize>(proof.size() - content_at - checksum_bytes));
    }
}

}  // namespace

int main(int argc, char** argv) {
    std::uint64_t count = 100'000;
    std::uint64_t seed = 1;
    std::uint64_t jobs = 1;
    CLI::App app("Mutates receipts and proofs of state; fails when a mutant proves what is false.", "loyal-mutations");
    app.add_option("--count", count, "How many mutants, a fifth of them of the crash fault model")
        ->capture_default_str();
    app.add_option("--seed", seed, "Which ones")->capture_default_str();
    app.add_option("--jobs", jobs, "Threads")->check(CLI::Range(1, 64))->capture_default_str();
    std::string corpus;
    app.add_option("--corpus", corpus, "Only write inputs for the fuzz target of proofs into this folder");
    CLI11_PARSE(app, argc, argv);
    fmt::print("seed {}\n", seed);
    const mutations::ProofWorld byzantine(consensus::FaultModel::byzantine);
    const mutations::ProofWorld crash(consensus::FaultModel::crash);
    if (!corpus.empty()) {
        write_corpus(byzantine, 0, corpus);
        write_corpus(crash, 2, corpus);
        return 0;
    }
    const int first = report("byzantine", byzantine, run_jobs(byzantine, count - count / 5, seed, jobs));
    const int second = report("crash", crash, run_jobs(crash, count / 5, seed, jobs));
    return first != 0 || second != 0 ? 1 : 0;
}
