"""The names of the colormaps, so that a producer can check one without importing NumPy.

Names of the `cmap` package (0.8) with at least 50 colours in smooth order: maps for categories would draw steps that
the class map does not have. A test checks that `cmap` knows every name. `NAME_r` is the reverse of `NAME`.
"""

_WORDS = """
acton afmhot algae amber amethyst amp apple araucaria arctic autumn balance balance_blue bam bamako bamO
batlow batlowK batlowW berlin bilbao binary blackbody blue Blues BMR_3C bone BOP_Blue BOP_Orange
BOP_Purple BrBG brg broc brocO bubblegum buda BuGn bukavu BuPu BuRd bwr cerrado CET_C1 CET_C10 CET_C11
CET_C2 CET_C3 CET_C4 CET_C5 CET_C6 CET_C7 CET_C8 CET_C9 CET_CBC1 CET_CBC2 CET_CBD1 CET_CBD2 CET_CBL1
CET_CBL2 CET_CBL3 CET_CBL4 CET_CBTC1 CET_CBTC2 CET_CBTD1 CET_CBTL1 CET_CBTL2 CET_CBTL3 CET_CBTL4 CET_D1
CET_D10 CET_D11 CET_D12 CET_D13 CET_D1A CET_D2 CET_D3 CET_D4 CET_D5 CET_D6 CET_D7 CET_D8 CET_D9 CET_I1
CET_I2 CET_I3 CET_L1 CET_L10 CET_L11 CET_L12 CET_L13 CET_L14 CET_L15 CET_L16 CET_L17 CET_L18 CET_L19
CET_L2 CET_L20 CET_L3 CET_L4 CET_L5 CET_L6 CET_L7 CET_L8 CET_L9 CET_R1 CET_R2 CET_R3 CET_R4 CGY_3C chroma
cividis CMRmap cool coolwarm copper cork corkO cosmic crest cubehelix curl curl_pink cyan davos deep delta
delta_blue dense devon diff diverging dusk earth eclipse ember emerald emergency fake_parula fall fast fes
fire flag flamingo flare freeze fusion gem ghostlight gist_earth gist_gray gist_grey gist_heat gist_ncar
gist_rainbow gist_stern gist_yarg gist_yerg glasgow GnBu gnuplot gnuplot2 gothic gray grayC Grays GrBu
GrBu_d green GreenFireBlue Greens grey Greys grv guppy haline hawaii heat HiLo holly horizon hot hsl hsv
husl I_Blue I_Bordeaux I_Cyan I_Forest I_Green I_Magenta I_Orange I_Purple I_Red I_Yellow ice iceburn
icefire imola incandescent inferno infinity iridescent jet jungle kindlmann lajolla lapaz lavender
light_blues lilac lipari lisbon magenta magma mako managua matter navia naviaW ncar neon neutral nightfall
nipy_spectral nuclear nuuk ocean oleron OPF_Fresh OPF_Orange OPF_Purple orange Oranges OrRd oslo oxy pampa
pantanal pepper phase pink PiYG plasma PRGn pride prinsenvlag prism PuBu PuBuGn PuGr PuOr PuRd Purples
rain rainbow rainbow_PuBr rainbow_PuRd rainbow_WhBr rainbow_WhRd rainforest RdBu RdGy RdPu RdYeBuCy RdYlBu
RdYlGn red Reds redshift RMB_3C rocket roma romaO sapphire savanna seasons seaweed seismic sepia
single_hue solar Spectral speed spring stern summer sunburst sunset swamp tarn tempo terrain thermal
tofino tokyo topo torch toxic tree tropical turbid turbo turku twilight twilight_shifted vanimo vik vikO
viola viridis vlag voltage waterlily watermelon white WhOrBr wildfire winter Wistia yarg yellow YGC_3C
YlGn YlGnBu YlOrBr YlOrRd
"""

#: Sorted without regard to case; the reversed ones come last.
NAMES: tuple[str, ...] = (*_WORDS.split(), *(f"{name}_r" for name in _WORDS.split()))
