// The lines of replica/control.h: what is understood, and that everything else is refused by name.
#include "replica/control.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace loyal::replica {
namespace {

using ::testing::HasSubstr;

template <class T>
T parsed(std::string_view line, std::size_t replicas = 4) {
    const auto command = parse_control(line, replicas);
    EXPECT_TRUE(command) << line << ": " << command.error().message;
    const T* value = command ? std::get_if<T>(&*command) : nullptr;
    EXPECT_NE(value, nullptr) << line;
    return value == nullptr ? T{} : *value;
}

std::string refusal(std::string_view line, std::size_t replicas = 4) {
    const auto command = parse_control(line, replicas);
    EXPECT_FALSE(command) << line;
    if (!command) {
        EXPECT_EQ(command.error().code, Errc::invalid_argument) << line;
    }
    return command ? std::string() : command.error().message;
}

TEST(Control, understands_fault_lines) {
    EXPECT_EQ(parsed<FaultSpec>("fault none").kind, FaultSpec::Kind::none);
    EXPECT_EQ(parsed<FaultSpec>("fault crash-stop --after 5s").after_ms, 5'000U);
    EXPECT_EQ(to_string(parsed<FaultSpec>("fault silent")), "byzantine silent");
    EXPECT_THAT(refusal("fault nonsense"), HasSubstr("nonsense"));
    EXPECT_THAT(refusal("fault"), HasSubstr("empty"));
}

TEST(Control, understands_faults_of_links) {
    const auto all = parsed<NetSet>("net to=all drop=0.3 delay=20ms jitter=5ms duplicate=0.1 reorder=1 rate=65536 cut");
    EXPECT_TRUE(all.peers.empty());
    EXPECT_FALSE(all.clients);
    EXPECT_EQ(all.fault, (LinkFault{0.3, 0.1, 1, 20, 5, 65'536, true}));
    EXPECT_EQ(parsed<NetSet>("net to=1,3 cut").peers, (std::vector<std::uint16_t>{1, 3}));
    EXPECT_TRUE(parsed<NetSet>("net to=clients drop=1").clients);
    EXPECT_TRUE(parsed<NetSet>("net to=2").fault.none()) << "without words: no fault";
    (void)parsed<NetShow>("net show");
    (void)parsed<NetHeal>("  net \t heal ");
}

TEST(Control, refuses_bad_links_by_name) {
    EXPECT_THAT(refusal("net"), HasSubstr("net show"));
    EXPECT_THAT(refusal("net heal now"), HasSubstr("now"));
    EXPECT_THAT(refusal("net drop=0.3"), HasSubstr("drop=0.3"));
    EXPECT_THAT(refusal("net to=4 cut"), HasSubstr("there is no replica 4"));
    EXPECT_THAT(refusal("net to=1,1 cut"), HasSubstr("twice"));
    EXPECT_THAT(refusal("net to=one cut"), HasSubstr("one"));
    EXPECT_THAT(refusal("net to= cut"), HasSubstr("replica"));
    EXPECT_THAT(refusal("net to=1, cut"), HasSubstr("replica"));
    EXPECT_THAT(refusal("net to=1 drop=1.5"), HasSubstr("1.5"));
    EXPECT_THAT(refusal("net to=1 drop=-0.1"), HasSubstr("-0.1"));
    EXPECT_THAT(refusal("net to=1 drop=nan"), HasSubstr("nan"));
    EXPECT_THAT(refusal("net to=1 drop"), HasSubstr("drop"));
    EXPECT_THAT(refusal("net to=1 delay=20"), HasSubstr("20"));
    EXPECT_THAT(refusal("net to=1 delay=2h"), HasSubstr("too long"));
    EXPECT_THAT(refusal("net to=1 rate=5"), HasSubstr("5"));
    EXPECT_THAT(refusal("net to=1 rate=0"), HasSubstr("0"));
    EXPECT_THAT(refusal("net to=1 cut=1"), HasSubstr("cut"));
    EXPECT_THAT(refusal("net to=1 lose=0.3"), HasSubstr("lose=0.3"));
    EXPECT_THAT(refusal("net to=1 drop=0.3 drop=0.4"), HasSubstr("twice"));
}

TEST(Control, understands_clocks_pauses_and_disks) {
    const auto offset = parsed<ClockFault>("clock offset=-5s");
    EXPECT_EQ(offset.kind, ClockFault::Kind::offset);
    EXPECT_EQ(offset.value, -5'000);
    EXPECT_EQ(parsed<ClockFault>("clock jump=+250ms").value, 250);
    EXPECT_EQ(parsed<ClockFault>("clock drift=-200ppm").value, -200);
    EXPECT_EQ(parsed<ClockFault>("clock drift=200").value, 200);
    EXPECT_EQ(parsed<ClockFault>("clock freeze").kind, ClockFault::Kind::freeze);
    EXPECT_EQ(parsed<ClockFault>("clock mend").kind, ClockFault::Kind::mend);
    EXPECT_EQ(parsed<Pause>("pause 15s").ms, 15'000U);
    EXPECT_EQ(parsed<DiskFault>("disk slow=20ms").value, 20U);
    EXPECT_EQ(parsed<DiskFault>("disk full").kind, DiskFault::Kind::full);
    EXPECT_EQ(parsed<DiskFault>("disk fail-sync").kind, DiskFault::Kind::fail_sync);
    EXPECT_EQ(parsed<DiskFault>("disk rot").value, 1U);
    EXPECT_EQ(parsed<DiskFault>("disk rot=64").value, 64U);
    EXPECT_EQ(parsed<TraceSince>("trace since=123456").us, 123'456U);
    (void)parsed<EvidenceList>("evidence");
}

TEST(Control, refuses_the_rest_by_name) {
    EXPECT_THAT(refusal(""), HasSubstr("empty"));
    EXPECT_THAT(refusal("clocks mend"), HasSubstr("clocks"));
    EXPECT_THAT(refusal("clock offset=5"), HasSubstr("unit"));
    EXPECT_THAT(refusal("clock offset=0s"), HasSubstr("changes nothing"));
    EXPECT_THAT(refusal("clock offset=10000h"), HasSubstr("10000h"));
    EXPECT_THAT(refusal("clock mend now"), HasSubstr("one word"));
    EXPECT_THAT(refusal("clock mend=1"), HasSubstr("mend"));
    EXPECT_THAT(refusal("clock forward=5s"), HasSubstr("forward"));
    EXPECT_THAT(refusal("clock drift=600000ppm"), HasSubstr("600000ppm"));
    EXPECT_THAT(refusal("pause"), HasSubstr("15s"));
    EXPECT_THAT(refusal("pause 0s"), HasSubstr("none"));
    EXPECT_THAT(refusal("pause 2h"), HasSubstr("1h"));
    EXPECT_THAT(refusal("pause forever"), HasSubstr("forever"));
    EXPECT_THAT(refusal("disk slow"), HasSubstr("duration"));
    EXPECT_THAT(refusal("disk slow=0ms"), HasSubstr("nothing"));
    EXPECT_THAT(refusal("disk full=1"), HasSubstr("full"));
    EXPECT_THAT(refusal("disk rot=0"), HasSubstr("1 to"));
    EXPECT_THAT(refusal("disk rot=x"), HasSubstr("rot=x"));
    EXPECT_THAT(refusal("disk broken"), HasSubstr("broken"));
    EXPECT_THAT(refusal("trace"), HasSubstr("since=US"));
    EXPECT_THAT(refusal("trace since=-1"), HasSubstr("since=US"));
    EXPECT_THAT(refusal("evidence all"), HasSubstr("all"));
    EXPECT_THAT(refusal(std::string(5'000, 'x')), HasSubstr("bytes"));
}

TEST(Control, evidence_alone_is_no_experiment) {
    EXPECT_FALSE(is_experiment(*parse_control("evidence", 4)));
    for (const char* line : {"fault none", "net show", "net heal", "net to=1 cut", "clock mend", "pause 1s",
                             "disk mend", "trace since=0"}) {
        EXPECT_TRUE(is_experiment(*parse_control(line, 4))) << line;
    }
}

RC_GTEST_PROP(ControlProperty, a_link_fault_reads_back_as_it_was_written, ()) {
    LinkFault fault;
    const auto share = [] { return static_cast<double>(*rc::gen::inRange(0, 1'000'001)) / 1'000'000.0; };
    fault.drop = share();
    fault.duplicate = share();
    fault.reorder = share();
    fault.delay_ms = *rc::gen::inRange<std::uint64_t>(0, 600'001);
    fault.jitter_ms = *rc::gen::inRange<std::uint64_t>(0, 600'001);
    fault.rate_bytes_s = *rc::gen::element<std::uint64_t>(0, 100, 65'536, 1'000'000'000);
    fault.cut = *rc::gen::arbitrary<bool>();
    const auto read = parse_link_fault(to_string(fault));
    RC_ASSERT(read.has_value());
    RC_ASSERT(*read == fault);
    RC_ASSERT(fault.none() == to_string(fault).empty());
}

RC_GTEST_PROP(ControlProperty, no_line_does_harm, ()) {
    const auto words = *rc::gen::container<std::vector<std::string>>(rc::gen::element<std::string>(
        "net", "clock", "disk", "pause", "fault", "to=", "to=1", "drop=", "drop=1e400", "=", "offset=-", "rot=", "cut",
        "since=99999999999999999999", "--after", "5s", ",", "\t", "18446744073709551615ms"));
    std::string line;
    for (const std::string& word : words) {
        line += word + " ";
    }
    const auto command = parse_control(line, 4);
    RC_ASSERT(command.has_value() || !command.error().message.empty());
}

}  // namespace
}  // namespace loyal::replica
