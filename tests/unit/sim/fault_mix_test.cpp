#include "sim/fault_mix.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

#include "replica/faults/fault_model.h"
#include "sim/sim_signer.h"

namespace loyal::sim {
namespace {

class FaultMixTest : public ::testing::Test {
 protected:
    FaultMixTest() {
        for (std::uint64_t i = 0; i < 7; ++i) {
            keys_.emplace_back(i);
            membership_.replicas.push_back(keys_.back().public_key());
        }
        client_ = consensus::client_id_of(keys_.front().public_key());
        membership_.clients.emplace(client_, keys_.front().public_key());
    }
    // Fails the test with what is wrong with the line.
    void expect_usable(const std::string& line, std::uint16_t self, const std::vector<std::uint16_t>& traitors) {
        const auto spec = replica::parse_fault(line);
        ASSERT_TRUE(spec.has_value()) << line << ": " << spec.error().message;
        replica::FaultContext context{membership_, consensus::ReplicaId(self), keys_.at(self), 1, {}, 400, 50, {}};
        context.client_names = {{"c0", client_}};
        for (const std::uint16_t traitor : traitors) {
            if (traitor != self) {
                context.accomplices.emplace(
                    consensus::ReplicaId(traitor),
                    std::shared_ptr<const crypto::Signer>(std::shared_ptr<void>(), &keys_[traitor]));
            }
        }
        const auto made = replica::make_fault(*spec, context);
        EXPECT_TRUE(made.has_value()) << line << ": " << made.error().message;
    }

    std::vector<SimSigner> keys_;
    consensus::Membership membership_;
    consensus::ClientId client_;
};

TEST_F(FaultMixTest, every_line_it_draws_makes_a_traitor) {
    Random random(1);
    for (int i = 0; i < 2'000; ++i) {
        const std::vector<std::uint16_t> traitors =
            random.one_in(2) ? std::vector<std::uint16_t>{2} : std::vector<std::uint16_t>{2, 5};
        expect_usable(random_fault(random, 7, 2, traitors), 2, traitors);
    }
}

TEST_F(FaultMixTest, every_behaviour_there_is_gets_its_turn) {
    Random random(1);
    std::set<std::string> seen;
    for (int i = 0; i < 5'000; ++i) {
        const auto spec = replica::parse_fault(random_fault(random, 7, 2, {2, 5}));
        ASSERT_TRUE(spec.has_value());
        for (const replica::BehaviourSpec& behaviour : spec->behaviours) {
            seen.insert(behaviour.name);
        }
    }
    for (const replica::BehaviourInfo& info : replica::behaviours()) {
        EXPECT_TRUE(seen.contains(std::string(info.name))) << info.name;
    }
}

TEST_F(FaultMixTest, a_lonely_traitor_has_nobody_to_collude_with) {
    Random random(1);
    for (int i = 0; i < 2'000; ++i) {
        EXPECT_EQ(random_fault(random, 4, 0, {0}).find("collude"), std::string::npos);
    }
}

TEST_F(FaultMixTest, optional_arguments_come_with_and_without) {
    Random random(1);
    std::set<std::string> drawn;
    for (int i = 0; i < 200; ++i) {
        const auto argument = random_argument(random, {"x", "[one|two|key:PREFIX]", ""}, 4, 0, {0});
        ASSERT_TRUE(argument.has_value());
        drawn.insert(argument->substr(0, 4));
    }
    EXPECT_EQ(drawn, (std::set<std::string>{"", "one", "two", "key:"}));
}

}  // namespace
}  // namespace loyal::sim
