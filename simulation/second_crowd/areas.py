"""Where people of the second crowd live: districts and quarters of cities. Written by hand, from no outside data."""

import random
from typing import NamedTuple

from simulation.second_crowd.words import NAME_ENDS, NAME_STARTS

# City, kind, province, region of the mobile network, weight, first digits of the postcode, districts with quarters.
_CITIES = """
Jakarta Selatan|Kota|DKI Jakarta|jkt|6|12|Kebayoran Baru:Gunung,Melawai,Gandaria Utara;\
Tebet:Tebet Barat,Menteng Dalam,Bukit Duri;Pancoran:Kalibata,Duren Tiga,Pengadegan;\
Pasar Minggu:Pejaten Barat,Jati Padang,Ragunan
Jakarta Barat|Kota|DKI Jakarta|jkt|5|11|Cengkareng:Kapuk,Rawa Buaya,Duri Kosambi;\
Kebon Jeruk:Kedoya Utara,Duri Kepa,Sukabumi Utara;Palmerah:Slipi,Kota Bambu Utara,Kemanggisan
Jakarta Timur|Kota|DKI Jakarta|jkt|6|13|Duren Sawit:Pondok Kelapa,Klender,Malaka Jaya;\
Cakung:Penggilingan,Jatinegara,Pulo Gebang;Kramat Jati:Cililitan,Batu Ampar,Cawang
Jakarta Utara|Kota|DKI Jakarta|jkt|3|14|Tanjung Priok:Sunter Agung,Kebon Bawang,Papanggo;\
Koja:Lagoa,Tugu Utara,Rawa Badak;Kelapa Gading:Pegangsaan Dua,Kelapa Gading Barat
Jakarta Pusat|Kota|DKI Jakarta|jkt|2|10|Kemayoran:Serdang,Sumur Batu,Utan Panjang;\
Tanah Abang:Bendungan Hilir,Karet Tengsin,Petamburan;Cempaka Putih:Rawasari,Cempaka Putih Barat
Bekasi|Kota|Jawa Barat|jkt|6|171|Bekasi Timur:Aren Jaya,Duren Jaya,Margahayu;Jatiasih:Jatimekar,Jatikramat,Jatirasa;\
Rawalumbu:Bojong Menteng,Pengasinan,Sepanjang Jaya
Bekasi|Kabupaten|Jawa Barat|jkt|4|175|Tambun Selatan:Mangunjaya,Tridaya Sakti,Setiadarma;\
Cikarang Utara:Karangasih,Simpangan;Cibitung:Wanasari,Wanajaya
Depok|Kota|Jawa Barat|jkt|4|164|Beji:Kukusan,Pondok Cina,Tanah Baru;Sukmajaya:Mekarjaya,Abadijaya,Bakti Jaya;\
Cimanggis:Tugu,Mekarsari,Harjamukti
Tangerang|Kota|Banten|jkt|4|151|Cipondoh:Poris Plawad,Gondrong,Ketapang;Karawaci:Bojong Jaya,Cimone,Nusa Jaya;\
Ciledug:Sudimara Barat,Paninggilan
Tangerang Selatan|Kota|Banten|jkt|4|153|Pamulang:Pondok Benda,Bambu Apus,Kedaung;Ciputat:Sawah Baru,Jombang,Serua;\
Serpong:Rawa Buntu,Lengkong Gudang,Ciater
Bogor|Kabupaten|Jawa Barat|jkt|4|169|Cibinong:Pabuaran,Nanggewer,Ciriung;\
Gunung Putri:Bojong Nangka,Ciangsana,Tlajung Udik;Bojong Gede:Kedung Waringin,Rawa Panjang
Bogor|Kota|Jawa Barat|jkt|2|161|Tanah Sareal:Kedung Badak,Kebon Pedes;Bogor Barat:Cilendek Timur,Loji,Bubulak
Bandung|Kota|Jawa Barat|jabar|5|402|Coblong:Dago,Sekeloa,Lebak Siliwangi;Sukajadi:Pasteur,Cipedes,Sukagalih;\
Buahbatu:Margasari,Sekejati,Cijawura;Andir:Ciroyom,Maleber
Bandung|Kabupaten|Jawa Barat|jabar|3|403|Baleendah:Manggahang,Andir,Jelekong;Dayeuhkolot:Citeureup,Sukapura;\
Bojongsoang:Lengkong,Cipagalo
Sumedang|Kabupaten|Jawa Barat|jabar|1|453|Jatinangor:Hegarmanah,Cikeruh,Sayang;Tanjungsari:Gudang,Margaluyu
Karawang|Kabupaten|Jawa Barat|jabar|3|413|Telukjambe Timur:Sukaluyu,Purwadana,Wadas;Klari:Duren,Gintungkerta;\
Karawang Barat:Adiarsa Barat,Nagasari
Cirebon|Kota|Jawa Barat|jabar|2|451|Harjamukti:Kalijaga,Larangan,Kecapi;Kesambi:Drajat,Sunyaragi
Tasikmalaya|Kota|Jawa Barat|jabar|1.5|461|Cihideung:Nagarawangi,Yudanagara;Tawang:Kahuripan,Empangsari
Serang|Kota|Banten|jkt|1.5|421|Serang:Cipare,Kaligandu,Unyur;Cipocok Jaya:Banjarsari,Panancangan
Semarang|Kota|Jawa Tengah|jateng|4|502|Tembalang:Sendangmulyo,Bulusan,Kedungmundu;\
Banyumanik:Srondol Wetan,Padangsari,Pudakpayung;Pedurungan:Tlogosari Kulon,Muktiharjo Kidul
Surakarta|Kota|Jawa Tengah|jateng|2|571|Jebres:Mojosongo,Pucangsawit;Laweyan:Pajang,Kerten,Jajar
Banyumas|Kabupaten|Jawa Tengah|jateng|1.5|531|Purwokerto Utara:Grendeng,Sumampir,Bancarkembar;\
Sokaraja:Karangrau,Wiradadi
Kebumen|Kabupaten|Jawa Tengah|jateng|1|543|Gombong:Wonokriyo,Semondo;Pejagoan:Kedawung,Kewayuhan
Sleman|Kabupaten|DI Yogyakarta|jateng|3|552|Depok:Caturtunggal,Condongcatur,Maguwoharjo;Mlati:Sinduadi,Sendangadi;\
Ngaglik:Sariharjo,Sinduharjo
Yogyakarta|Kota|DI Yogyakarta|jateng|2|552|Umbulharjo:Warungboto,Sorosutan,Pandeyan;Gondokusuman:Klitren,Baciro
Surabaya|Kota|Jawa Timur|jatim|6|602|Sukolilo:Keputih,Gebang Putih,Klampis Ngasem;\
Rungkut:Kalirungkut,Medokan Ayu,Kedung Baruk;Wonokromo:Jagir,Ngagel,Darmo;Tambaksari:Pacarkembang,Gading
Sidoarjo|Kabupaten|Jawa Timur|jatim|3|612|Waru:Kureksari,Tropodo,Wadungasri;Taman:Sepanjang,Wage,Geluran;\
Gedangan:Sawotratap,Punggul
Malang|Kota|Jawa Timur|jatim|3|651|Lowokwaru:Dinoyo,Sumbersari,Ketawanggede;Blimbing:Purwantoro,Arjosari;\
Sukun:Bandungrejosari,Mulyorejo
Jember|Kabupaten|Jawa Timur|jatim|1.5|681|Sumbersari:Tegalgede,Kebonsari,Antirogo;Kaliwates:Tegal Besar,Sempusari
Kediri|Kota|Jawa Timur|jatim|1|641|Mojoroto:Bandar Lor,Sukorame;Pesantren:Bangsal,Tinalan
Banyuwangi|Kabupaten|Jawa Timur|jatim|1|684|Genteng:Genteng Kulon,Kembiritan;Rogojampi:Gitik,Lemahbangdewo
Denpasar|Kota|Bali|balinusa|2.5|802|Denpasar Selatan:Sesetan,Panjer,Pemogan;\
Denpasar Barat:Padangsambian,Pemecutan Kelod
Badung|Kabupaten|Bali|balinusa|1.2|803|Kuta Utara:Kerobokan,Dalung;Mengwi:Kapal,Sading
Mataram|Kota|Nusa Tenggara Barat|balinusa|1.2|831|Ampenan:Kebon Sari,Dayan Peken;Selaparang:Rembiga,Monjok
Medan|Kota|Sumatera Utara|sumut|4|202|Medan Johor:Gedung Johor,Kwala Bekala,Pangkalan Masyhur;\
Medan Tembung:Bantan,Sidorejo;Medan Selayang:Tanjung Sari,Padang Bulan Selayang
Deli Serdang|Kabupaten|Sumatera Utara|sumut|2|203|Percut Sei Tuan:Medan Estate,Tembung;\
Tanjung Morawa:Limau Manis,Bangun Sari
Pekanbaru|Kota|Riau|sumbagut|2.5|282|Tampan:Simpang Baru,Delima,Tuah Karya;\
Marpoyan Damai:Sidomulyo Timur,Tangkerang Barat
Batam|Kota|Kepulauan Riau|sumbagut|2|294|Batam Kota:Belian,Baloi Permai,Taman Baloi;Sagulung:Sungai Langkai,Sei Lekop
Padang|Kota|Sumatera Barat|sumbagut|2|251|Kuranji:Korong Gadang,Kalumbuk;Koto Tangah:Lubuk Buaya,Parupuk Tabing
Palembang|Kota|Sumatera Selatan|sumbagsel|3|301|Ilir Barat I:Bukit Lama,Lorok Pakjo;\
Sukarami:Kebun Bunga,Talang Betutu;Seberang Ulu I:15 Ulu,Silaberanti
Bandar Lampung|Kota|Lampung|sumbagsel|2.5|351|Kedaton:Sidodadi,Sukamenanti;Rajabasa:Gedong Meneng,Rajabasa Raya;\
Sukarame:Way Dadi,Korpri Jaya
Jambi|Kota|Jambi|sumbagsel|1|361|Kota Baru:Kenali Asam,Simpang III Sipin;Telanaipura:Buluran Kenali,Murni
Pontianak|Kota|Kalimantan Barat|kal|1.3|781|Pontianak Kota:Sungai Bangkong,Sungai Jawi;\
Pontianak Selatan:Parit Tokaya,Akcaya
Banjarmasin|Kota|Kalimantan Selatan|kal|1.3|701|Banjarmasin Utara:Alalak Utara,Sungai Miai;\
Banjarmasin Selatan:Pemurus Dalam,Basirih
Balikpapan|Kota|Kalimantan Timur|kal|1.5|761|Balikpapan Selatan:Sepinggan,Gunung Bahagia;\
Balikpapan Utara:Batu Ampar,Graha Indah
Samarinda|Kota|Kalimantan Timur|kal|1.3|751|Samarinda Ulu:Air Putih,Sidodadi;Sungai Kunjang:Loa Bakung,Karang Asam Ulu
Makassar|Kota|Sulawesi Selatan|sul|3|902|Tamalanrea:Tamalanrea Indah,Kapasa;Rappocini:Gunung Sari,Ballaparang;\
Panakkukang:Tamamaung,Pandang
Manado|Kota|Sulawesi Utara|sul|1|951|Malalayang:Bahu,Kleak;Mapanget:Paniki Bawah,Kairagi
Kendari|Kota|Sulawesi Tenggara|sul|.8|932|Kadia:Bende,Pondambea;Kambu:Lalolara,Padaleu
Kupang|Kota|Nusa Tenggara Timur|balinusa|.7|851|Oebobo:Fatululi,Liliba;Kelapa Lima:Lasiana,Oesapa
Jayapura|Kota|Papua|papua|.5|991|Abepura:Kota Baru,Yobe;Heram:Waena,Yabansai
"""


class Area(NamedTuple):
    """A quarter (kelurahan or desa) in its district (kecamatan). `kind` is Kota (town) or Kabupaten (regency)."""

    quarter: str
    district: str
    city: str
    kind: str
    province: str
    region: str
    postcode: str


def _districts(rng: random.Random, kind: str, listed: str) -> list[tuple[str, list[str]]]:
    """The districts of a city: those of the table, and invented ones. Each has six quarters at least."""
    pairs = (district.split(":") for district in listed.split(";"))
    table = [(name, quarters.split(",")) for name, quarters in pairs]
    for _ in range(3 if kind == "Kota" else 9):
        name = rng.choice(NAME_STARTS) + rng.choice(NAME_ENDS) + rng.choice(("", "", " Timur", " Barat", " Utara"))
        table.append((name, []))
    for _, quarters in table:
        while len(quarters) < 6:
            first = rng.choice(NAME_STARTS)
            joined = rng.random() < 0.8
            name = first + (rng.choice(NAME_ENDS) if joined else " " + rng.choice(NAME_ENDS).title())
            if name not in quarters:
                quarters.append(name)
    return table


def _areas() -> list[tuple[float, list[Area]]]:
    """Each city's weight and areas. They are the same in every sale."""
    rng, found = random.Random(20210126), []
    for line in _CITIES.strip().splitlines():
        city, kind, province, region, weight, post, listed = line.split("|")
        areas = []
        for i, (district, quarters) in enumerate(_districts(rng, kind, listed)):
            for j, quarter in enumerate(quarters):
                # The table has the first two digits of the postcodes of Jakarta, and the first three of other cities.
                rest = f"{(i * 13 + j * 3 + 10) % 10 ** (5 - len(post)):0{5 - len(post)}d}"
                areas.append(Area(quarter, district, city, kind, province, region, post + rest))
        found.append((float(weight), areas))
    return found


AREAS = _areas()
