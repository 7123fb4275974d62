// Random sequences of operations in this store's state machine and in a real etcd: both must say the same after each of
// them, but for what differences.h lists. Sequences are short, so that one with a difference can
// be shortened further.
//
// For a long run: RC_PARAMS="max_success=2000", and how much that was is printed at the end.
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <cstdio>

#include "tests/compare/differences.h"
#include "tests/compare/etcd_process.h"
#include "tests/compare/pair.h"
#include "tests/unit/kvstore/operation_generator.h"

namespace loyal::compare {
namespace {

using kvstore::test::one_of;
using kvstore::test::OperationGenerator;
using kvstore::test::up_to;

constexpr std::uint64_t operations_max = 150;  // of a sequence

struct Compared {
    std::uint64_t sequences = 0;
    std::uint64_t operations = 0;
    std::uint64_t answers = 0;
};

void run_a_sequence(Pair& pair, const OperationGenerator& generate) {
    for (std::uint64_t left = up_to(operations_max); left > 0; --left) {
        const bool is_query = one_of(8) == 7;
        if (const auto operation = in_common(is_query ? to_operation(generate.query()) : generate.operation())) {
            pair.apply(*operation);
        }
        switch (one_of(24)) {
            case 1: pair.flush(); break;
            case 2: pair.compare_everything(generate.revision()); break;
            case 3:
            case 4:
            case 5:
                if (const auto query = in_common(to_operation(generate.query()))) {
                    pair.ask(kvstore::to_query(*query));
                }
                break;
            case 6: pair.restart(); break;
            default: break;
        }
    }
    pair.compare_everything(generate.revision());
}

TEST(Etcd, answers_every_operation_as_this_store_does) {
    if (!EtcdProcess::installed()) {
        GTEST_SKIP() << "etcd is not installed, so nothing is compared with it (Debian's package: etcd-server)";
    }
    const EtcdProcess etcd;
    EtcdClient client(etcd.port());
    Compared compared;
    EXPECT_TRUE(rc::check("both stores say the same", [&] {
        Pair pair(client);
        const OperationGenerator generate([&pair] { return pair.revision(); });
        run_a_sequence(pair, generate);
        ++compared.sequences;
        compared.operations += pair.operations();
        compared.answers += pair.answers();
    }));
    RecordProperty("operations", std::to_string(compared.operations));
    std::printf("%llu operations in %llu sequences compared with etcd %s, %llu answers in all\n",
                static_cast<unsigned long long>(compared.operations),
                static_cast<unsigned long long>(compared.sequences), etcd.version().c_str(),
                static_cast<unsigned long long>(compared.answers));
}

}  // namespace
}  // namespace loyal::compare
