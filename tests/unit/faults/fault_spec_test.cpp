#include "replica/faults/fault_spec.h"

#include <gmock/gmock.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include "fault_fixture.h"

namespace loyal::replica {
namespace {

using testing::HasSubstr;

// An argument of the right form for each behaviour that takes one.
const std::map<std::string, std::vector<std::string>>& arguments() {
    static const std::map<std::string, std::vector<std::string>> all{
        {"mute-to", {"1", "1,2", "3,1,2"}},
        {"lie-to-clients", {"", "all", "alice", "07"}},
        {"censor", {"client:alice", "client:0700", "key:user/", "plain", "key:=x"}},
        {"bad-state-transfer", {"", "corrupt", "withhold", "endless"}},
        {"clock-lie", {"+10s", "-1h", "+250ms"}},
        {"corrupt-bits", {"0.001", "1", "1e-6"}},
        {"collude", {"1", "1,3"}},
    };
    return all;
}

rc::Gen<FaultSpec> arbitrary_spec() {
    return rc::gen::exec([] {
        FaultSpec spec;
        const auto minutes = rc::gen::inRange<std::uint64_t>(0, 10'000'000);
        switch (*rc::gen::inRange(0, 4)) {
            case 0: break;
            case 1:
                spec.kind = FaultSpec::Kind::crash_stop;
                spec.after_ms = *minutes;
                break;
            case 2:
                spec.kind = FaultSpec::Kind::crash_recovery;
                spec.every_ms = *minutes;
                spec.down_ms = *minutes;
                break;
            default: {
                spec.kind = FaultSpec::Kind::byzantine;
                auto infos =
                    *rc::gen::unique<std::vector<std::size_t>>(rc::gen::inRange<std::size_t>(0, behaviours().size()));
                if (infos.empty()) {
                    infos.push_back(0);
                }
                for (const std::size_t i : infos) {
                    const std::string name(behaviours()[i].name);
                    const auto known = arguments().find(name);
                    spec.behaviours.push_back(
                        {name, known == arguments().end() ? "" : *rc::gen::elementOf(known->second)});
                }
            }
        }
        return spec;
    });
}

RC_GTEST_PROP(FaultSpecProperty, what_is_written_is_read_back, ()) {
    const FaultSpec spec = *arbitrary_spec();
    const auto back = parse_fault(to_string(spec));
    RC_ASSERT(back.has_value());
    RC_ASSERT(*back == spec);
}

class FaultSpecTest : public FaultTest {
 protected:
    static std::string error_of(std::string_view line) {
        const auto spec = parse_fault(line);
        if (spec) {
            return "(no error)";
        }
        EXPECT_EQ(spec.error().code, Errc::invalid_argument);
        return spec.error().message;
    }
    [[nodiscard]] std::string error_here(std::string_view line) const {
        const auto made = try_make(line);
        return made ? "(no error)" : made.error().message;
    }
};

TEST_F(FaultSpecTest, every_behaviour_of_the_list_can_be_made_and_says_its_name) {
    share_key_of(1);
    share_key_of(3);
    EXPECT_EQ(behaviours().size(), 22U);
    for (const BehaviourInfo& info : behaviours()) {
        const auto known = arguments().find(std::string(info.name));
        EXPECT_EQ(known == arguments().end(), info.argument.empty()) << info.name;
        const auto with = known == arguments().end() ? std::vector<std::string>{""} : known->second;
        for (const std::string& argument : with) {
            const std::string line = std::string(info.name) + (argument.empty() ? "" : "=" + argument);
            EXPECT_EQ(make(line)->name(), "byzantine " + line);
        }
    }
}

TEST_F(FaultSpecTest, several_are_put_around_one_another) {
    EXPECT_EQ(make("byzantine reorder mute-to=1")->name(), "byzantine reorder mute-to=1");
    EXPECT_EQ(parse_fault("reorder mute-to=1").value(), parse_fault("byzantine  reorder\tmute-to=1 ").value());
}

TEST_F(FaultSpecTest, nonsense_is_named_with_its_remedy) {
    EXPECT_THAT(error_of(""), HasSubstr("empty"));
    EXPECT_THAT(error_of("byzantine"), HasSubstr("needs a behaviour"));
    EXPECT_THAT(error_of("byzantine lazy"), testing::AllOf(HasSubstr("\"lazy\""), HasSubstr("wrong-execution")));
    EXPECT_THAT(error_of("silent silent"), HasSubstr("twice"));
    EXPECT_THAT(error_of("mute-to=1 mute-to=2"), HasSubstr("twice"));
    EXPECT_THAT(error_of("silent=1"), HasSubstr("takes no argument"));
    EXPECT_THAT(error_of("mute-to"), HasSubstr("mute-to=IDS"));
    EXPECT_THAT(error_of("mute-to="), HasSubstr("mute-to=IDS"));
    EXPECT_THAT(error_of("lie-to-clients="), HasSubstr("needs an argument"));
    EXPECT_THAT(error_of("none silent"), HasSubstr("stands alone"));
    EXPECT_THAT(error_of("crash-stop --after soon"), HasSubstr("no duration"));
}

TEST_F(FaultSpecTest, arguments_of_a_wrong_form_are_refused_without_a_cluster) {
    for (const std::string bad : {"1,", ",1", "a", "1;2", "01", "-1", "70000", "1,1", "1 ,2"}) {
        EXPECT_FALSE(parse_fault("mute-to=" + bad).has_value()) << bad;
        EXPECT_FALSE(parse_fault("collude=" + bad).has_value()) << bad;
    }
    for (const std::string bad : {"10s", "+", "+10", "10", "+0s", "--1s", "+1w", "soon"}) {
        EXPECT_THAT(error_of("clock-lie=" + bad), HasSubstr("+10s")) << bad;
    }
    for (const std::string bad : {"0", "-0.1", "1.1", "nan", "inf", "1%", "x", "0.1x"}) {
        EXPECT_THAT(error_of("corrupt-bits=" + bad), HasSubstr("probability")) << bad;
    }
    EXPECT_THAT(error_of("bad-state-transfer=slow"), HasSubstr("corrupt, withhold or endless"));
    EXPECT_THAT(error_of("censor=client:"), HasSubstr("client:NAME"));
    EXPECT_THAT(error_of("lie-to-clients=alice,"), HasSubstr("empty client"));
}

TEST_F(FaultSpecTest, arguments_that_make_no_sense_in_the_cluster_are_refused) {
    EXPECT_THAT(error_here("mute-to=4"), HasSubstr("no replica 4"));
    EXPECT_THAT(error_here("mute-to=0"), HasSubstr("traitor itself"));
    EXPECT_THAT(error_here("collude=1"), HasSubstr("key of replica 1"));
    EXPECT_THAT(error_here("censor=client:bob"), HasSubstr("\"bob\""));
    EXPECT_THAT(error_here("lie-to-clients=alice,bob"), HasSubstr("\"bob\""));
    share_key_of(1);
    EXPECT_EQ(error_here("collude=1"), "(no error)");
    EXPECT_THAT(error_here("collude=1,2"), HasSubstr("key of replica 2"));
}

}  // namespace
}  // namespace loyal::replica
